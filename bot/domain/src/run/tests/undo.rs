use super::plans::{plan, step};
use super::sim::{Sim, broken, ok, rejected, stopped, unsure};
use crate::plan::Class;
use crate::request::Verdict;
use crate::run::{EndReason, RunStatus, Timer};

#[test]
fn a_failed_step_that_touched_the_world_is_undone() {
    let mut sim =
        Sim::of(plan([step("a").own_undo(), step("b").needs(["a"])])).script("a", [broken()]);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(
        sim.work(),
        "\
claim a → running
a prepared
a fails → compensating
claim undo a
undo a ok → failed"
    );
}

#[test]
fn a_failed_step_that_touched_nothing_is_not_undone() {
    let mut sim = Sim::of(plan([step("a").own_undo()])).script("a", [rejected()]);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed");
}

#[test]
fn an_own_undo_without_what_it_needs_does_not_run() {
    let mut sim = Sim::of(plan([step("a").own_undo()]));
    for _ in 0..3 {
        sim.apply(sim.next_answer().unwrap());
    }
    assert_eq!(sim.run.steps[0].prepared, None);
    sim.report("a", broken());
    sim.ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed");
}

#[test]
fn an_undo_by_intent_needs_nothing_prepared() {
    let steps = [step("a").class(Class::Once).undo_by("restore")];
    let mut sim = Sim::of(plan(steps)).script("a", [broken()]);
    sim.answer();
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed, undo a succeeded");
    let undo = &sim.run.steps[1];
    assert_eq!(sim.run.operation(undo).unwrap().intent.as_str(), "restore");
    assert_eq!(sim.run.class(undo), Class::Idempotent);
    assert_eq!(sim.run.title(undo), "undo of a");
    assert_ne!(
        sim.run.effect_key(undo),
        sim.run.effect_key(&sim.run.steps[0])
    );
}

#[test]
fn an_own_undo_is_of_its_own_class() {
    let steps = [step("a").class(Class::Once).own_undo()];
    let mut sim = Sim::of(plan(steps)).script("a", [broken()]).hold("undo a");
    sim.go();
    let undo = &sim.run.steps[1];
    assert_eq!(sim.run.operation(undo).unwrap().intent.as_str(), "a");
    assert_eq!(sim.run.class(undo), Class::Idempotent);
    sim.crash();
    sim.answer();
    sim.report("undo a", ok());
    sim.ends(RunStatus::Failed);
}

#[test]
fn without_rollback_nothing_is_undone() {
    let steps = [
        step("a").own_undo(),
        step("b").needs(["a"]).undo_by("restore"),
    ];
    let mut sim = Sim::of(plan(steps).no_rollback().unwind_run()).script("b", [broken()]);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a succeeded, b failed");
}

#[test]
fn unwinding_undoes_finished_steps_in_reverse() {
    let steps = [
        step("a").own_undo(),
        step("b").needs(["a"]),
        step("c").needs(["b"]).undo_by("restore"),
        step("d").needs(["c"]).own_undo(),
    ];
    let mut sim = Sim::of(plan(steps).unwind_run()).script("d", [broken()]);
    sim.go().ends(RunStatus::Failed);
    assert!(sim.work().ends_with(
        "\
d fails → compensating
claim undo d
undo d ok
claim undo c
undo c ok
claim undo a
undo a ok → failed"
    ));
}

#[test]
fn unwinding_follows_a_cancel_too() {
    let steps = [step("a").own_undo(), step("b").needs(["a"]).own_undo()];
    let mut sim = Sim::of(plan(steps).unwind_run()).hold("b");
    sim.go();
    sim.cancel();
    sim.report("b", stopped(false));
    sim.go().ends(RunStatus::Cancelled);
    assert_eq!(sim.steps(), "a succeeded, b cancelled, undo a succeeded");
}

#[test]
fn unwinding_undoes_a_dependant_first_even_if_the_clock_was_set_back() {
    let steps = [
        step("a").own_undo(),
        step("b").needs(["a"]).own_undo(),
        step("c").needs(["b"]),
    ];
    let mut sim = Sim::of(plan(steps).unwind_run()).script("c", [rejected()]);
    sim.answer();
    sim.advance(3600);
    sim.report("a", ok());
    sim.now = super::sim::START;
    sim.go().ends(RunStatus::Failed);
    assert!(
        sim.work().contains("undo b ok\nclaim undo a"),
        "{}",
        sim.work()
    );
}

#[test]
fn unwinding_waits_until_everything_is_settled() {
    let steps = [step("a").own_undo(), step("b"), step("c")];
    let mut sim = Sim::of(plan(steps).unwind_run().side_by_side())
        .script("b", [broken()])
        .script("c", [unsure()]);
    sim.go();
    assert_eq!(sim.run.status, RunStatus::NeedsAttention);
    assert_eq!(sim.steps(), "a succeeded, b failed, c unknown");
    sim.resolve("c", Verdict::DidNot);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(
        sim.steps(),
        "a succeeded, b failed, c failed, undo a succeeded"
    );
}

#[test]
fn unwinding_does_not_undo_twice_what_a_verdict_has_undone() {
    let steps = [step("a").own_undo(), step("b").needs(["a"]).own_undo()];
    let mut sim = Sim::of(plan(steps).unwind_run()).hold("b");
    sim.go();
    sim.cancel();
    sim.report("b", unsure());
    sim.resolve("b", Verdict::Happened);
    sim.go().ends(RunStatus::Cancelled);
    assert_eq!(
        sim.steps(),
        "a succeeded, b succeeded, undo b succeeded, undo a succeeded"
    );
}

#[test]
fn unwinding_waits_for_retries() {
    let steps = [step("a").own_undo(), step("b").retry(1)];
    let mut sim = Sim::of(plan(steps).unwind_run().side_by_side())
        .script("b", [super::sim::flaky(), broken()]);
    sim.go();
    assert_eq!(sim.steps(), "a succeeded, b pending");
    sim.advance(2);
    sim.apply(sim.expiry(Timer::Retry(sim.id("b"))));
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a succeeded, b failed, undo a succeeded");
}

#[test]
fn a_run_that_succeeds_is_not_unwound() {
    let mut sim = Sim::of(plan([step("a").own_undo()]).unwind_run());
    sim.go().ends(RunStatus::Succeeded);
    assert_eq!(sim.steps(), "a succeeded");
}

#[test]
fn an_undo_that_fails_is_the_reason_of_the_end() {
    let mut sim = Sim::of(plan([step("a").own_undo()]))
        .script("a", [broken()])
        .script("undo a", [rejected()]);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.run.reason, Some(EndReason::UndoFailed));
    assert_eq!(sim.steps(), "a failed, undo a failed");
}

#[test]
fn an_undo_that_fails_is_not_undone() {
    let mut sim = Sim::of(plan([step("a").undo_by("restore")]))
        .script("a", [broken()])
        .script("undo a", [broken()]);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.run.steps.len(), 2);
}

#[test]
fn undos_run_one_at_a_time_in_the_order_of_the_failures() {
    let steps = ["a", "b", "c"].map(|name| step(name).own_undo());
    let mut sim = Sim::of(plan(steps).side_by_side())
        .script("a", [broken()])
        .script("b", [broken()])
        .script("c", [broken()])
        .hold("undo a");
    sim.go();
    assert_eq!(sim.commands(), "");
    sim.report("undo a", ok());
    assert_eq!(sim.commands(), "claim undo b");
    sim.go().ends(RunStatus::Failed);
}

#[test]
fn an_undo_may_overtake_steps_that_are_still_under_way() {
    let steps = [step("a").own_undo(), step("b")];
    let mut sim = Sim::of(plan(steps).side_by_side())
        .script("a", [broken()])
        .hold("b");
    sim.go();
    assert_eq!(sim.steps(), "a failed, b claimed, undo a succeeded");
    assert_eq!(sim.run.status, RunStatus::Running);
    sim.report("b", ok());
    sim.ends(RunStatus::Failed);
}
