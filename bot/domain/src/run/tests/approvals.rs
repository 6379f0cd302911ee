use super::plans::{need, plan, secs, step};
use super::sim::{START, Sim, person, submission};
use crate::plan::ApprovalNeed;
use crate::request::Decision::{Approve, Deny};
use crate::run::{DecisionRefused, EndReason, Event, RunStatus, Timer};
use crate::time::after;

fn awaiting(needs: impl IntoIterator<Item = ApprovalNeed>) -> Sim {
    let mut builder = plan([step("a")]);
    for need in needs {
        builder = builder.approval(need);
    }
    Sim::of(builder)
}

#[test]
fn a_run_waits_for_its_quorum() {
    let mut sim = awaiting([need(2)]);
    assert_eq!(sim.run.status, RunStatus::AwaitingApproval);
    assert_eq!(sim.commands(), "");
    sim.apply(sim.decision("bob", Approve, &[0]));
    assert_eq!(sim.run.approval_progress()[0].missing(), 1);
    sim.apply(sim.decision("cid", Approve, &[0]));
    sim.go().ends(RunStatus::Succeeded);
    assert_eq!(
        sim.trace(),
        "\
submitted → awaiting_approval
bob approves
cid approves → queued
locks
started
claim a → running
a ok → succeeded"
    );
}

#[test]
fn every_need_must_be_met_by_those_who_count_for_it() {
    let mut sim = awaiting([need(1), need(1)]);
    sim.apply(sim.decision("bob", Approve, &[0]));
    sim.apply(sim.decision("cid", Approve, &[0]));
    assert_eq!(sim.run.status, RunStatus::AwaitingApproval);
    sim.apply(sim.decision("dot", Approve, &[0, 1]));
    assert_eq!(sim.run.status, RunStatus::Queued);
}

#[test]
fn a_need_of_nobody_is_met() {
    let mut sim = awaiting([need(0)]);
    assert_eq!(sim.run.status, RunStatus::Queued);
    sim.go().ends(RunStatus::Succeeded);
}

#[track_caller]
fn refused(sim: &Sim, event: &Event, why: DecisionRefused) {
    let Event::Decided {
        person,
        decision,
        counts_for,
        ..
    } = event
    else {
        panic!("not a decision");
    };
    assert_eq!(sim.run.may_decide(person, *decision, counts_for), Err(why));
    assert_eq!(sim.refusal(event), "the decision does not count");
}

#[test]
fn the_requester_decides_nothing() {
    let sim = awaiting([need(1)]);
    for decision in [Approve, Deny] {
        let own = sim.decision("ann", decision, &[0]);
        refused(&sim, &own, DecisionRefused::Requester);
    }
    let other_account = sim.decision_by("ann", "u-second", Approve, &[0]);
    refused(&sim, &other_account, DecisionRefused::Requester);
}

#[test]
fn the_owners_of_a_robot_do_not_approve_what_it_asks_for() {
    let mut submission = submission(plan([step("a")]).approval(need(1)).build());
    submission.origin.person = person("nightly");
    submission.origin.owners = [person("bob"), person("cid")].into();
    let mut sim = Sim::submitted(submission);
    for owner in ["bob", "cid", "nightly"] {
        let own = sim.decision(owner, Approve, &[0]);
        refused(&sim, &own, DecisionRefused::Requester);
    }
    sim.apply(sim.decision("ann", Approve, &[0]));
    assert_eq!(sim.run.status, RunStatus::Queued);
}

#[test]
fn a_person_counts_once_whatever_the_account() {
    let mut sim = awaiting([need(2)]);
    sim.apply(sim.decision_by("bob", "u-bob", Approve, &[0]));
    let again = sim.decision_by("bob", "u-robert", Approve, &[0]);
    refused(&sim, &again, DecisionRefused::Already);
}

#[test]
fn somebody_who_counts_for_no_need_decides_nothing() {
    let sim = awaiting([need(1)]);
    for decision in [Approve, Deny] {
        let outsider = sim.decision("eve", decision, &[]);
        refused(&sim, &outsider, DecisionRefused::NotEligible);
        let elsewhere = sim.decision("eve", decision, &[7]);
        refused(&sim, &elsewhere, DecisionRefused::NotEligible);
    }
}

#[test]
fn a_denial_ends_the_run_with_its_reason() {
    let mut sim = awaiting([need(2)]);
    sim.apply(sim.decision("bob", Approve, &[0]));
    sim.apply(sim.decision("cid", Deny, &[0]));
    sim.ends(RunStatus::Cancelled);
    let by = person("cid");
    let reason = "so be it".to_owned();
    assert_eq!(sim.run.reason, Some(EndReason::Denied { by, reason }));
}

#[test]
fn a_denial_wins_over_a_met_quorum_until_the_first_claim() {
    let mut sim = awaiting([need(1)]);
    sim.apply(sim.decision("bob", Approve, &[0]));
    for _ in 0..3 {
        let mut denied = sim.clone();
        denied.apply(denied.decision("cid", Deny, &[0]));
        denied.ends(RunStatus::Cancelled);
        sim.apply(sim.next_answer().unwrap());
    }
    assert_eq!(sim.run.status, RunStatus::Running);
    let late = sim.decision("cid", Deny, &[0]);
    refused(&sim, &late, DecisionRefused::TooLate);
}

#[test]
fn who_has_approved_may_still_deny() {
    let mut sim = awaiting([need(1)]);
    sim.apply(sim.decision("bob", Approve, &[0]));
    sim.apply(sim.decision("bob", Deny, &[0]));
    sim.ends(RunStatus::Cancelled);
}

#[test]
fn approvals_after_the_quorum_come_too_late() {
    let mut sim = awaiting([need(1)]);
    sim.apply(sim.decision("bob", Approve, &[0]));
    let late = sim.decision("cid", Approve, &[0]);
    refused(&sim, &late, DecisionRefused::TooLate);
}

#[test]
fn a_run_without_approvals_cannot_be_denied() {
    let sim = Sim::of(plan([step("a")]));
    let denied = sim.decision("bob", Deny, &[0]);
    refused(&sim, &denied, DecisionRefused::TooLate);
}

#[test]
fn the_time_to_decide_is_the_shortest_of_all_needs() {
    let mut quick = need(1);
    quick.ttl = secs(60);
    let mut sim = awaiting([need(1), quick]);
    assert_eq!(sim.run.timers(), [(after(START, secs(60)), Timer::Decide)]);
    sim.advance(59);
    let early = sim.expiry(Timer::Decide);
    assert_eq!(sim.refusal(&early), "no such deadline has passed");
    sim.advance(1);
    let late = sim.decision("bob", Approve, &[0, 1]);
    assert_eq!(sim.refusal(&late), "the time to decide is over");
    sim.apply(sim.expiry(Timer::Decide));
    sim.ends(RunStatus::Cancelled);
    assert_eq!(sim.run.reason, Some(EndReason::ApprovalExpired));
}

#[test]
fn the_time_to_start_runs_from_the_last_approval_through_the_lock_queue() {
    let mut sim = awaiting([need(2)]);
    sim.advance(600);
    sim.apply(sim.decision("bob", Approve, &[0]));
    sim.advance(600);
    sim.apply(sim.decision("cid", Approve, &[0]));
    let due = after(START, secs(1200 + 900));
    for _ in 0..3 {
        assert_eq!(sim.run.timers(), [(due, Timer::Start)]);
        let mut late = sim.clone();
        late.now = due;
        late.apply(late.expiry(Timer::Start));
        late.ends(RunStatus::Cancelled);
        assert_eq!(late.run.reason, Some(EndReason::StartExpired));
        sim.apply(sim.next_answer().unwrap());
    }
    assert_eq!(sim.run.timers(), []);
}

#[test]
fn a_timer_that_no_longer_stands_is_refused() {
    let mut sim = awaiting([need(1)]);
    sim.advance(3599);
    sim.apply(sim.decision("bob", Approve, &[0]));
    sim.advance(10);
    let decide = sim.expiry(Timer::Decide);
    assert_eq!(sim.refusal(&decide), "no such deadline has passed");
    sim.answer();
    sim.advance(10_000);
    let start = sim.expiry(Timer::Start);
    assert_eq!(sim.refusal(&start), "no such deadline has passed");
    sim.go().ends(RunStatus::Succeeded);
}

#[test]
fn a_run_is_not_confirmed_after_its_time_to_start() {
    let mut sim = awaiting([need(1)]);
    sim.apply(sim.decision("bob", Approve, &[0]));
    sim.apply(sim.next_answer().unwrap());
    sim.advance(900);
    let late = sim.next_answer().unwrap();
    assert_eq!(sim.refusal(&late), "the time to start is over");
}

#[test]
fn a_run_whose_first_claims_are_refused_still_has_to_start_in_time() {
    let steps = [step("a"), step("b")];
    let builder = plan(steps).side_by_side().keep_going().approval(need(1));
    let mut sim = Sim::of(builder);
    sim.apply(sim.decision("bob", Approve, &[0]));
    for _ in 0..2 {
        sim.apply(sim.next_answer().unwrap());
    }
    sim.apply(Event::ClaimRefused {
        at: sim.now,
        step: sim.id("a"),
        failure: super::sim::failure("no"),
    });
    assert_eq!(sim.run.status, RunStatus::Queued);
    sim.advance(900);
    sim.apply(sim.expiry(Timer::Start));
    sim.ends(RunStatus::Cancelled);
    assert_eq!(sim.steps(), "a failed, b cancelled");
}

#[test]
fn a_changed_plan_voids_the_approval() {
    let mut sim = awaiting([need(1)]);
    let changes = vec!["tag of a changed".to_owned()];
    let voided = |sim: &Sim| Event::Voided {
        at: sim.now,
        changes: changes.clone(),
    };
    assert_eq!(
        sim.refusal(&voided(&sim)),
        "its plan is not to be confirmed now"
    );
    sim.apply(sim.decision("bob", Approve, &[0]));
    assert_eq!(
        sim.refusal(&voided(&sim)),
        "its plan is not to be confirmed now"
    );
    sim.apply(sim.next_answer().unwrap());
    let mut confirmed = sim.clone();
    confirmed.apply(confirmed.next_answer().unwrap());
    assert_eq!(
        confirmed.refusal(&voided(&confirmed)),
        "its plan is not to be confirmed now"
    );
    sim.apply(voided(&sim));
    sim.ends(RunStatus::Cancelled);
    assert_eq!(sim.run.reason, Some(EndReason::Voided { changes }));
}
