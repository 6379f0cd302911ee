use super::plans::{plan, step};
use super::sim::{Sim, broken, ok, rejected, stopped, unsure};
use crate::plan::Class;
use crate::request::Verdict;
use crate::run::{EndReason, RunStatus};

#[test]
fn an_unknown_step_holds_back_its_dependants_only() {
    let steps = [
        step("a"),
        step("b").needs(["a"]),
        step("c"),
        step("d").needs(["c"]),
    ];
    let mut sim = Sim::of(plan(steps).side_by_side()).script("a", [unsure()]);
    sim.go();
    assert_eq!(
        sim.steps(),
        "a unknown, b pending, c succeeded, d succeeded"
    );
    assert_eq!(sim.run.status, RunStatus::NeedsAttention);
}

#[test]
fn a_run_says_that_it_needs_attention_only_when_nothing_else_goes_on() {
    let steps = [step("a"), step("b")];
    let mut sim = Sim::of(plan(steps).side_by_side())
        .script("a", [unsure()])
        .hold("b");
    sim.go();
    assert_eq!(sim.run.status, RunStatus::Running);
    sim.report("b", ok());
    assert_eq!(sim.run.status, RunStatus::NeedsAttention);
}

#[test]
fn locks_are_kept_until_the_verdict() {
    let mut sim = Sim::of(plan([step("a")])).script("a", [unsure()]);
    sim.go();
    assert_eq!(sim.run.locks.len(), 1);
    assert_eq!(sim.run.commands(), []);
    sim.resolve("a", Verdict::Happened);
    sim.ends(RunStatus::Succeeded);
}

#[test]
fn happened_lets_the_dependants_run() {
    let mut sim = Sim::of(plan([step("a"), step("b").needs(["a"])])).script("a", [unsure()]);
    sim.go();
    sim.resolve("a", Verdict::Happened);
    assert_eq!(sim.run.status, RunStatus::Running);
    sim.go().ends(RunStatus::Succeeded);
    assert_eq!(
        sim.work(),
        "\
claim a → running
a unknown → needs_attention
a happened → running
claim b
b ok → succeeded"
    );
}

#[test]
fn did_not_fails_the_step_and_undoes_nothing() {
    let mut sim =
        Sim::of(plan([step("a").own_undo(), step("b").needs(["a"])])).script("a", [unsure()]);
    sim.go();
    sim.resolve("a", Verdict::DidNot);
    sim.ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed, b skipped");
    assert!(!sim.run.steps[0].touched);
}

#[test]
fn again_is_a_new_effect_with_a_new_key_and_all_its_retries() {
    let mut sim =
        Sim::of(plan([step("a").retry(1)])).script("a", [unsure(), super::sim::flaky(), ok()]);
    sim.go();
    let key = sim.run.effect_key(&sim.run.steps[0]);
    sim.resolve("a", Verdict::Again);
    assert_ne!(sim.run.effect_key(&sim.run.steps[0]), key);
    sim.finish().ends(RunStatus::Succeeded);
    assert_eq!(sim.attempts("a"), 3);
}

#[test]
fn again_runs_a_once_step_once_more() {
    let mut sim = Sim::of(plan([step("a").class(Class::Once)])).script("a", [unsure(), unsure()]);
    sim.go();
    sim.resolve("a", Verdict::Again);
    sim.go();
    assert_eq!(sim.run.status, RunStatus::NeedsAttention);
    sim.resolve("a", Verdict::Again);
    sim.go().ends(RunStatus::Succeeded);
    assert_eq!((sim.attempts("a"), sim.run.steps[0].round), (3, 2));
}

#[test]
fn again_is_obeyed_even_after_another_step_has_failed() {
    let steps = [
        step("a").class(Class::Once),
        step("b"),
        step("c").needs(["a"]),
    ];
    let mut sim = Sim::of(plan(steps).side_by_side())
        .script("a", [unsure()])
        .script("b", [rejected()]);
    sim.go();
    assert_eq!(sim.steps(), "a unknown, b failed, c skipped");
    sim.resolve("a", Verdict::Again);
    assert_eq!(sim.commands(), "claim a");
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a succeeded, b failed, c skipped");
}

#[test]
fn a_verdict_on_a_step_whose_outcome_is_known_is_refused() {
    let mut sim = Sim::of(plan([step("a"), step("b").needs(["a"])])).script("a", [unsure()]);
    sim.go();
    let known = sim.verdict("b", Verdict::Happened);
    assert_eq!(sim.refusal(&known), "the step's outcome is not unknown");
    sim.resolve("a", Verdict::Happened);
    let twice = sim.verdict("a", Verdict::DidNot);
    assert_eq!(sim.refusal(&twice), "the step's outcome is not unknown");
}

#[test]
fn under_a_cancel_what_happened_is_undone() {
    let mut sim = Sim::of(plan([step("a").own_undo()]));
    sim.answer();
    sim.cancel();
    sim.report("a", unsure());
    assert_eq!(sim.run.status, RunStatus::NeedsAttention);
    sim.resolve("a", Verdict::Happened);
    sim.go().ends(RunStatus::Cancelled);
    assert_eq!(sim.steps(), "a succeeded, undo a succeeded");
}

#[test]
fn under_a_cancel_what_did_not_happen_is_cancelled() {
    let mut sim = Sim::of(plan([step("a").own_undo()]));
    sim.answer();
    sim.cancel();
    sim.report("a", unsure());
    sim.resolve("a", Verdict::DidNot);
    sim.ends(RunStatus::Cancelled);
    assert_eq!(sim.steps(), "a cancelled");
    assert!(!sim.run.steps[0].touched);
}

#[test]
fn under_a_cancel_nothing_runs_again() {
    let mut sim = Sim::of(plan([step("a")])).script("a", [unsure()]);
    sim.go();
    sim.cancel();
    let again = sim.verdict("a", Verdict::Again);
    assert_eq!(sim.refusal(&again), "a cancelled run starts nothing again");
}

#[test]
fn an_unknown_undo_needs_a_verdict_as_well() {
    let steps = [step("a").own_undo()];
    let unknown_undo = || {
        let mut sim = Sim::of(plan(steps.clone()))
            .script("a", [broken()])
            .script("undo a", [unsure()]);
        sim.go();
        assert_eq!(sim.run.status, RunStatus::NeedsAttention);
        sim
    };
    let mut sim = unknown_undo();
    sim.resolve("undo a", Verdict::Happened);
    sim.ends(RunStatus::Failed);
    assert_eq!(sim.run.reason, None);
    let mut sim = unknown_undo();
    sim.resolve("undo a", Verdict::DidNot);
    sim.ends(RunStatus::Failed);
    assert_eq!(sim.run.reason, Some(EndReason::UndoFailed));
    let mut sim = unknown_undo();
    sim.resolve("undo a", Verdict::Again);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.attempts("undo a"), 2);
}

#[test]
fn an_undo_runs_again_even_under_a_cancel() {
    let mut sim = Sim::of(plan([step("a").own_undo()])).script("undo a", [unsure()]);
    sim.answer();
    sim.cancel();
    sim.report("a", stopped(true));
    sim.go();
    assert_eq!(sim.run.status, RunStatus::NeedsAttention);
    sim.resolve("undo a", Verdict::Again);
    sim.go().ends(RunStatus::Cancelled);
}

#[test]
fn a_failure_after_an_unknown_step_keeps_the_run_open() {
    let steps = [step("a"), step("b"), step("c").needs(["b"])];
    let mut sim = Sim::of(plan(steps).side_by_side())
        .script("a", [unsure()])
        .script("b", [broken()]);
    sim.go();
    assert_eq!(sim.run.status, RunStatus::NeedsAttention);
    sim.resolve("a", Verdict::Happened);
    sim.ends(RunStatus::Failed);
}
