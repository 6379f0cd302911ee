use super::plans::{plan, step};
use super::sim::{Sim, broken, flaky, ok, rejected, stopped};
use crate::plan::Class;
use crate::run::{Event, Run, RunStatus, StepStatus, Timer};

#[test]
fn a_journal_must_begin_with_a_submission() {
    let sim = Sim::of(plan([step("a")]));
    let started = Event::Started { at: sim.now };
    for events in [vec![], vec![started.clone()]] {
        let refused = Run::replay(events).unwrap_err();
        assert_eq!(refused.why, "it does not begin with a submission");
    }
    let twice = [&sim.events, &sim.events].into_iter().flatten();
    let twice = twice.map(|event| event.as_ref().clone());
    assert_eq!(Run::replay(twice).unwrap_err().why, "it exists already");
}

#[test]
fn a_step_that_may_run_again_does_so_with_the_same_key() {
    for class in [Class::Read, Class::Idempotent, Class::Keyed] {
        let mut sim = Sim::of(plan([step("a").class(class)]));
        sim.answer();
        let key = sim.run.effect_key(&sim.run.steps[0]);
        sim.crash();
        assert_eq!(sim.run.effect_key(&sim.run.steps[0]), key);
        assert_eq!(sim.commands(), "claim a");
        sim.answer();
        assert_eq!(sim.run.effect_key(&sim.run.steps[0]), key);
        sim.go().ends(RunStatus::Succeeded);
        assert_eq!(sim.attempts("a"), 2);
    }
}

#[test]
fn a_once_step_is_unknown_after_a_crash_and_never_rerun() {
    let mut sim = Sim::of(plan([step("a").class(Class::Once)]));
    sim.answer();
    let rerun = sim.rerun(sim.id("a"));
    assert_eq!(
        sim.refusal(&rerun),
        "a `once` step never runs again by itself"
    );
    sim.crash();
    assert_eq!(sim.run.status, RunStatus::NeedsAttention);
}

#[test]
fn a_probe_step_runs_again_only_when_the_look_says_so() {
    let mut sim = Sim::of(plan([step("a").class(Class::Probe)]));
    sim.answer();
    let mut seen = sim.clone();
    seen.report("a", ok());
    seen.ends(RunStatus::Succeeded);
    sim.apply(sim.rerun(sim.id("a")));
    sim.go().ends(RunStatus::Succeeded);
}

#[test]
fn a_crash_does_not_use_up_a_retry() {
    let mut sim = Sim::of(plan([step("a").retry(1)])).hold("a");
    for _ in 0..5 {
        sim.answer();
        sim.crash();
    }
    sim.answer();
    sim.report("a", flaky());
    assert!(matches!(
        sim.status("a"),
        StepStatus::Pending { retry_at: Some(_) }
    ));
}

#[test]
fn a_crash_does_not_shorten_the_wait_for_a_retry() {
    let mut sim = Sim::of(plan([step("a").retry(3)])).script("a", [flaky()]);
    sim.go();
    let timers = sim.run.timers();
    sim.crash();
    assert_eq!(sim.run.timers(), timers);
    let early = sim.expiry(Timer::Retry(sim.id("a")));
    assert_eq!(sim.refusal(&early), "no such deadline has passed");
}

#[test]
fn a_step_that_was_under_way_is_finished_even_after_a_failure_elsewhere() {
    let steps = [step("a"), step("b"), step("c").needs(["b"])];
    let mut sim = Sim::of(plan(steps).side_by_side())
        .hold("b")
        .script("a", [rejected()]);
    sim.go();
    sim.crash();
    assert_eq!(sim.steps(), "a failed, b pending, c skipped");
    assert_eq!(sim.commands(), "claim b");
    sim.answer();
    sim.report("b", ok());
    sim.ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed, b succeeded, c skipped");
}

#[test]
fn a_crash_under_a_cancel_ends_what_was_under_way_and_undoes_it() {
    let mut sim = Sim::of(plan([step("a").own_undo()]));
    sim.answer();
    sim.cancel();
    sim.crash();
    assert_eq!(sim.steps(), "a cancelled, undo a pending");
    sim.go().ends(RunStatus::Cancelled);
}

#[test]
fn a_crash_in_an_undo_runs_the_undo_again() {
    let mut sim = Sim::of(plan([step("a").own_undo()]))
        .script("a", [broken()])
        .hold("undo a");
    sim.go();
    sim.crash();
    assert_eq!(sim.run.status, RunStatus::Compensating);
    sim.answer();
    sim.report("undo a", ok());
    sim.ends(RunStatus::Failed);
}

#[test]
fn a_crash_keeps_the_first_reading_for_the_undo() {
    let mut sim = Sim::of(plan([step("a").own_undo()]));
    sim.answer();
    let prepared = sim.run.steps[0].prepared.clone();
    assert!(prepared.is_some());
    sim.crash();
    sim.answer();
    assert_eq!(sim.run.steps[0].prepared, prepared);
    sim.report("a", broken());
    assert_eq!(sim.commands(), "claim undo a");
}

#[test]
fn only_a_step_that_was_under_way_is_recovered() {
    let mut sim = Sim::of(plan([step("a"), step("b").needs(["a"])]));
    let early = sim.rerun(sim.id("a"));
    assert_eq!(sim.refusal(&early), "the step is not under way");
    sim.answer();
    let waiting = sim.rerun(sim.id("b"));
    assert_eq!(sim.refusal(&waiting), "the step is not under way");
    sim.cancel();
    sim.report("a", stopped(false));
    sim.ends(RunStatus::Cancelled);
}

#[test]
fn apply_gives_the_next_state_and_what_to_do_in_it() {
    let sim = Sim::of(plan([step("a")]));
    let event = sim.next_answer().unwrap();
    let (next, commands) = sim.run.clone().apply(&event).unwrap();
    assert_eq!(next.commands(), commands);
    assert_eq!(next.seq, 2);
    let wrong = Event::Started { at: sim.now };
    let refused = sim.run.clone().apply(&wrong).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "started does not fit a run that is queued: its plan is not to be confirmed now"
    );
}
