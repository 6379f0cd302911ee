use super::plans::{plan, step};
use super::sim::{Sim, broken, failure, ok, stopped};
use crate::ids::{Attempt, StepId};
use crate::run::{Event, RunStatus, StepStatus};

fn refuse_claim(sim: &Sim, name: &str) -> Event {
    Event::ClaimRefused {
        at: sim.now,
        step: sim.id(name),
        failure: failure("the role ops was taken away"),
    }
}

fn confirmed(sim: &mut Sim) {
    for _ in 0..2 {
        sim.apply(sim.next_answer().unwrap());
    }
}

#[test]
fn a_refused_claim_fails_the_step_without_an_attempt() {
    let mut sim = Sim::of(plan([step("a").own_undo(), step("b").needs(["a"])]));
    confirmed(&mut sim);
    sim.apply(refuse_claim(&sim, "a"));
    sim.ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed, b skipped");
    assert_eq!(sim.attempts("a"), 0);
    assert_eq!(sim.run.started_at, None);
}

#[test]
fn a_claim_is_not_refused_before_the_plan_is_confirmed() {
    let sim = Sim::of(plan([step("a")]));
    let refused = refuse_claim(&sim, "a");
    assert_eq!(sim.refusal(&refused), "the step cannot be claimed now");
    let awaiting = Sim::of(plan([step("a")]).approval(super::plans::need(1)));
    let refused = refuse_claim(&awaiting, "a");
    assert_eq!(awaiting.refusal(&refused), "the step cannot be claimed now");
}

#[test]
fn a_run_whose_claims_were_all_refused_still_waits_for_its_first() {
    let steps = [step("a"), step("b").needs(["a"])];
    let mut sim = Sim::of(plan(steps).keep_going());
    confirmed(&mut sim);
    sim.apply(refuse_claim(&sim, "a"));
    assert_eq!(sim.run.status, RunStatus::Queued);
    sim.go().ends(RunStatus::Failed);
    assert_eq!(sim.steps(), "a failed, b succeeded");
}

#[test]
fn a_refused_claim_of_one_step_ends_the_other_claims() {
    let mut sim = Sim::of(plan([step("a"), step("b")]).side_by_side());
    confirmed(&mut sim);
    assert_eq!(sim.commands(), "claim a, claim b");
    let claim_b = sim.claim(sim.id("b"));
    sim.apply(refuse_claim(&sim, "a"));
    sim.ends(RunStatus::Failed);
    assert_eq!(sim.refusal(&claim_b), "it has ended");
}

#[test]
fn a_report_of_another_attempt_is_refused() {
    let mut sim = Sim::of(plan([step("a")]));
    sim.answer();
    let mut report = sim.report_of(sim.id("a"), ok());
    if let Event::Reported { attempt, .. } = &mut report {
        *attempt = Attempt(2);
    }
    assert_eq!(sim.refusal(&report), "the report is of another attempt");
}

#[test]
fn a_report_of_a_step_that_is_not_under_way_is_refused() {
    let mut sim = Sim::of(plan([step("a"), step("b").needs(["a"])]));
    sim.answer();
    let early = sim.report_of(sim.id("b"), ok());
    assert_eq!(sim.refusal(&early), "the step is not under way");
    let nowhere = Event::Reported {
        at: sim.now,
        step: StepId(99),
        attempt: Attempt(1),
        outcome: ok(),
        tail: String::new(),
        output: None,
    };
    assert_eq!(sim.refusal(&nowhere), "the step is not under way");
    sim.report("a", ok());
    let twice = sim.report_of(sim.id("a"), broken());
    assert_eq!(sim.refusal(&twice), "the step is not under way");
}

#[test]
fn a_claim_counts_attempts_without_a_gap() {
    let mut sim = Sim::of(plan([step("a")]));
    confirmed(&mut sim);
    let mut claim = sim.claim(sim.id("a"));
    if let Event::Claimed { attempt, .. } = &mut claim {
        *attempt = Attempt(2);
    }
    assert_eq!(sim.refusal(&claim), "the step cannot be claimed now");
}

#[test]
fn a_step_that_nobody_stops_cannot_report_that_it_was_stopped() {
    let mut sim = Sim::of(plan([step("a"), step("b").needs(["a"])]));
    sim.answer();
    let report = sim.report_of(sim.id("a"), stopped(true));
    assert_eq!(sim.refusal(&report), "nobody stops that step");
}

#[test]
fn what_a_step_left_behind_is_kept_with_its_result() {
    let mut sim = Sim::of(plan([step("a")]));
    sim.answer();
    let mut report = sim.report_of(sim.id("a"), ok());
    if let Event::Reported { tail, outcome, .. } = &mut report {
        "pulled".clone_into(tail);
        *outcome = crate::run::Outcome::Succeeded {
            facts: [("digest".to_owned(), "sha256:2".to_owned())].into(),
        };
    }
    sim.apply(report);
    let step = &sim.run.steps[0];
    assert_eq!(step.status, StepStatus::Succeeded);
    assert_eq!((step.tail.as_str(), step.facts.len()), ("pulled", 1));
    assert_eq!(step.ended_at, Some(sim.now));
}
