use super::plans::{plan, secs, step};
use super::sim::{START, Sim, broken, flaky, ok, rejected};
use crate::ids::StepId;
use crate::plan::{Class, Retry};
use crate::run::{RunStatus, StepStatus, Timer};
use crate::time::{Timestamp, after};

const A: StepId = StepId(0);

fn at(seconds: u64) -> Timestamp {
    after(START, secs(seconds))
}

#[test]
fn a_step_is_tried_again_when_its_wait_is_over() {
    let mut sim = Sim::of(plan([step("a").retry(3)])).script("a", [flaky(), flaky()]);
    sim.finish().ends(RunStatus::Succeeded);
    assert_eq!(
        sim.work(),
        "\
claim a → running
a fails for now
3s a due again
claim a #2
a fails for now
8s a due again
claim a #3
a ok → succeeded"
    );
}

#[test]
fn retries_end_with_the_limit() {
    let mut sim = Sim::of(plan([step("a").retry(2)])).script("a", [flaky(), flaky(), flaky()]);
    sim.finish().ends(RunStatus::Failed);
    assert_eq!(sim.attempts("a"), 3);
}

#[test]
fn a_failure_that_will_not_pass_is_not_tried_again() {
    let mut sim = Sim::of(plan([step("a").retry(5)])).script("a", [rejected()]);
    sim.finish().ends(RunStatus::Failed);
    assert_eq!(sim.attempts("a"), 1);
}

#[test]
fn waits_double_up_to_the_ceiling() {
    let retry = Retry {
        max: 40,
        first: secs(2),
        ceiling: secs(30),
    };
    let waits: Vec<u64> = (1..=7)
        .map(|failed| crate::time::between(START, retry.due(failed, START)).as_secs())
        .collect();
    assert_eq!(waits, [2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(retry.due(u32::MAX, START), at(30));
    let endless = Retry {
        ceiling: std::time::Duration::MAX,
        first: std::time::Duration::MAX,
        ..retry
    };
    assert_eq!(endless.due(9, START), Timestamp::MAX);
}

#[test]
fn a_retry_does_not_start_before_it_is_due() {
    let steps = [step("a").retry(1).backoff(secs(10), secs(10))];
    let mut sim = Sim::of(plan(steps)).script("a", [flaky()]);
    sim.go();
    assert_eq!(sim.run.timers(), [(at(11), Timer::Retry(A))]);
    assert_eq!(sim.refusal(&sim.claim(A)), "the step cannot be claimed now");
    sim.advance(9);
    let early = sim.expiry(Timer::Retry(A));
    assert_eq!(sim.refusal(&early), "no such deadline has passed");
    sim.advance(1);
    sim.apply(sim.expiry(Timer::Retry(A)));
    assert_eq!(sim.commands(), "claim a");
}

#[test]
fn a_timer_of_an_earlier_try_does_not_shorten_the_wait() {
    let mut sim = Sim::of(plan([step("a").retry(5)])).script("a", [flaky()]);
    sim.go();
    sim.advance(2);
    let stale = sim.expiry(Timer::Retry(A));
    sim.apply(stale.clone());
    assert_eq!(sim.refusal(&stale), "no such deadline has passed");
    sim.answer();
    assert_eq!(sim.refusal(&stale), "no such deadline has passed");
    sim.report("a", flaky());
    assert_eq!(sim.refusal(&stale), "no such deadline has passed");
}

#[test]
fn a_run_waits_for_a_retry_without_needing_anybody() {
    let steps = [step("a").retry(1), step("b").needs(["a"])];
    let mut sim = Sim::of(plan(steps)).script("a", [flaky()]);
    sim.go();
    assert_eq!(sim.run.status, RunStatus::Running);
    assert_eq!(sim.commands(), "");
    assert_eq!(
        sim.run.steps[0].last_failure.as_ref().unwrap().message,
        "connection refused"
    );
}

#[test]
fn a_once_step_is_never_tried_again_by_itself() {
    let steps = [step("a").class(Class::Once).retry(5).own_undo()];
    let mut sim = Sim::of(plan(steps)).script("a", [flaky()]);
    sim.finish().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed, undo a succeeded");
}

#[test]
fn a_failure_elsewhere_ends_the_wait_for_a_retry() {
    let steps = [step("a").retry(5).own_undo(), step("b"), step("c").retry(5)];
    let mut sim = Sim::of(plan(steps).side_by_side())
        .script("a", [flaky()])
        .script("b", [broken()])
        .hold("c");
    sim.go();
    assert_eq!(
        sim.steps(),
        "a failed, b failed, c claimed, undo a succeeded"
    );
    let StepStatus::Failed(failure) = sim.status("a") else {
        panic!("a has not failed");
    };
    assert_eq!(failure.message, "connection refused");
    sim.report("c", flaky());
    sim.ends(RunStatus::Failed);
    assert_eq!(sim.attempts("c"), 1);
}

#[test]
fn without_stop_on_failure_a_retry_goes_on() {
    let steps = [step("a").retry(5), step("b")];
    let mut sim = Sim::of(plan(steps).side_by_side().keep_going())
        .script("a", [flaky()])
        .script("b", [broken()]);
    sim.finish().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a succeeded, b failed");
}

#[test]
fn an_undo_is_retried_as_its_step_is() {
    let steps = [step("a").retry(2).own_undo()];
    let mut sim = Sim::of(plan(steps))
        .script("a", [broken()])
        .script("undo a", [flaky(), flaky()]);
    sim.finish().ends(RunStatus::Failed);
    assert_eq!(sim.attempts("undo a"), 3);
    assert_eq!(sim.run.reason, None);
}

#[test]
fn an_undo_by_intent_has_retries_of_its_own() {
    let steps = [step("a").retry(9).undo_by("restore")];
    let mut sim = Sim::of(plan(steps))
        .script("a", [broken()])
        .script("undo a", [flaky()]);
    sim.finish().ends(RunStatus::Failed);
    assert_eq!(sim.attempts("undo a"), 1);
}

#[test]
fn a_success_after_a_failed_try_is_not_undone() {
    let mut sim = Sim::of(plan([step("a").retry(1).own_undo()])).script("a", [flaky(), ok()]);
    sim.finish().ends(RunStatus::Succeeded);
    assert_eq!(sim.run.steps.len(), 1);
}

#[test]
fn what_an_undo_needs_is_the_reading_of_the_first_try() {
    let mut sim = Sim::of(plan([step("a").retry(1).own_undo()])).script("a", [flaky()]);
    sim.go();
    sim.advance(2);
    sim.apply(sim.expiry(Timer::Retry(A)));
    sim.apply(sim.claim(A));
    assert_eq!(sim.refusal(&sim.prepared(A)), "it is recorded already");
}
