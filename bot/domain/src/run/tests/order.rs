use super::plans::{plan, step};
use super::sim::{Sim, broken, rejected, unsure};
use crate::plan::Class;
use crate::request::Verdict;
use crate::run::{Command, RunStatus, StepStatus};

#[test]
fn a_chain_runs_one_step_after_the_other() {
    let mut sim = Sim::of(plan([
        step("a"),
        step("b").needs(["a"]),
        step("c").needs(["b"]),
    ]));
    sim.go().ends(RunStatus::Succeeded);
    assert_eq!(
        sim.trace(),
        "\
submitted → queued
locks
started
claim a → running
a ok
claim b
b ok
claim c
c ok → succeeded"
    );
}

#[test]
fn a_diamond_runs_its_sides_side_by_side() {
    let mut sim = Sim::of(plan([
        step("base").dependency(),
        step("left").needs(["base"]).dependency(),
        step("right").needs(["base"]).dependency(),
        step("top").needs(["left", "right"]),
    ]));
    sim.go().ends(RunStatus::Succeeded);
    assert_eq!(
        sim.work(),
        "\
claim base → running
base ok
claim left
claim right
left ok
right ok
claim top
top ok → succeeded"
    );
}

#[test]
fn no_more_steps_run_at_once_than_the_plan_allows() {
    let steps = ["a", "b", "c", "d", "e"].map(step);
    let mut sim = Sim::of(plan(steps).side_by_side().at_most(2));
    sim.answer();
    assert_eq!(sim.active().len(), 2);
    let waiting = sim.claim(sim.id("c"));
    assert_eq!(sim.refusal(&waiting), "the step cannot be claimed now");
    sim.report("b", super::sim::ok());
    assert_eq!(sim.commands(), "claim c");
    sim.go().ends(RunStatus::Succeeded);
}

#[test]
fn a_plan_that_allows_no_step_at_once_still_runs() {
    let mut sim = Sim::of(plan([step("a"), step("b")]).at_most(0));
    sim.go().ends(RunStatus::Succeeded);
}

#[test]
fn a_plan_without_steps_has_succeeded() {
    let mut sim = Sim::of(plan([]));
    sim.go();
    assert_eq!(sim.run.status, RunStatus::Succeeded);
}

#[test]
fn locks_are_asked_for_together_and_before_anything_else() {
    let mut sim = Sim::of(plan([
        step("look").class(Class::Read),
        step("b").lock("z"),
        step("a").lock("y").undo_by("restore"),
    ]));
    let keys = ["vm/restore", "y", "z"].map(super::plans::lock);
    assert_eq!(sim.run.commands(), [Command::AcquireLocks(keys.to_vec())]);
    sim.answer();
    assert_eq!(sim.run.locks.len(), 3);
}

#[test]
fn a_grant_of_other_locks_than_the_plans_is_refused() {
    let sim = Sim::of(plan([step("a"), step("b")]));
    let grant = sim.answer_to(&Command::AcquireLocks(vec![super::plans::lock("vm/a")]));
    assert_eq!(sim.refusal(&grant.unwrap()), "these are not its locks");
}

#[test]
fn a_run_that_only_reads_waits_for_no_lock() {
    let sim = Sim::of(plan([step("look").class(Class::Read)]));
    assert_eq!(sim.commands(), "confirm");
}

#[test]
fn an_intent_waits_for_the_end_of_the_one_requested_before_it() {
    let mut sim = Sim::of(plan([step("stop"), step("backup").after(["stop"])])).hold("stop");
    sim.answer();
    assert_eq!(sim.commands(), "");
    sim.report("stop", super::sim::ok());
    sim.go().ends(RunStatus::Succeeded);
}

#[test]
fn an_intent_waits_for_the_undo_of_the_one_requested_before_it() {
    let steps = [
        step("stop").own_undo(),
        step("backup").after(["stop"]),
        step("start").after(["backup"]),
    ];
    let mut sim = Sim::of(plan(steps).keep_going()).script("stop", [broken()]);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(
        sim.work(),
        "\
claim stop → running
stop prepared
stop fails
claim undo stop
undo stop ok
claim backup
backup ok
claim start
start ok → failed"
    );
}

#[test]
fn an_intent_waits_for_a_verdict_on_the_one_requested_before_it() {
    let mut sim =
        Sim::of(plan([step("stop"), step("backup").after(["stop"])])).script("stop", [unsure()]);
    sim.go();
    assert_eq!(sim.run.status, RunStatus::NeedsAttention);
    assert_eq!(sim.status("backup").as_str(), "pending");
    sim.resolve("stop", Verdict::Happened);
    sim.go().ends(RunStatus::Succeeded);
}

#[test]
fn a_failure_stops_everything_that_has_not_begun() {
    let mut sim = Sim::of(plan([
        step("a"),
        step("b").needs(["a"]),
        step("c").after(["b"]),
    ]))
    .script("a", [rejected()]);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed, b skipped, c skipped");
}

#[test]
fn a_failure_lets_end_what_has_begun() {
    let steps = [step("a"), step("b"), step("c").needs(["b"])];
    let mut sim = Sim::of(plan(steps).side_by_side()).hold("b");
    sim = sim.script("a", [rejected()]);
    sim.go();
    assert_eq!(sim.steps(), "a failed, b claimed, c skipped");
    assert_eq!(sim.run.status, RunStatus::Running);
    sim.report("b", super::sim::ok());
    sim.ends(RunStatus::Failed);
}

#[test]
fn without_stop_on_failure_the_rest_runs_and_the_run_has_failed_all_the_same() {
    let steps = [step("a"), step("b").needs(["a"]), step("c").after(["b"])];
    let mut sim = Sim::of(plan(steps).keep_going()).script("a", [rejected()]);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed, b succeeded, c succeeded");
    assert_eq!(sim.run.reason, None);
    assert_eq!(sim.run.first_failure().unwrap().0.id, sim.id("a"));
}

#[test]
fn a_step_whose_dependency_was_undone_does_not_start_while_the_undo_runs() {
    let steps = [step("a").own_undo(), step("b").needs(["a"])];
    let mut sim = Sim::of(plan(steps).keep_going())
        .script("a", [broken()])
        .hold("undo a");
    sim.go();
    assert_eq!(*sim.status("undo a"), StepStatus::Claimed);
    assert_eq!(sim.commands(), "");
    sim.report("undo a", super::sim::ok());
    assert_eq!(sim.commands(), "claim b");
}
