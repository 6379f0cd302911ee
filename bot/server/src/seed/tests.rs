use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use insta::assert_snapshot;
use rave_domain::plan::{Class, Operation, Plan, PlannedStep, Preview, Retry, StepRole, Undo};
use rave_domain::request::{RunOptions, RunRequest};
use rave_domain::run::{
    EndReason, Failure, Origin, Run, RunStatus, Step, StepKind, StepStatus, Submission,
};
use rave_domain::value::Value as Argument;
use rave_domain::{
    Account, Digest, ErrorCode, IntentName, RunId, StepId, Surface, Target, Timestamp, UserError,
};
use rave_engine::api::{DryRun, RunSnapshot};
use serde::Serialize;
use serde_json::{Map, Value};

use super::*;

/// As it goes over the wire.
fn json(body: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(object)) = serde_json::to_value(body) else {
        panic!("no object");
    };
    object
}

fn name(text: &str) -> IntentName {
    IntentName::new(text).unwrap()
}

fn step(intent: &str, role: StepRole, needs: &[u32], command: &str) -> PlannedStep {
    let stack = format!("stack-{intent}");
    PlannedStep {
        operation: Operation {
            intent: name(intent),
            action: "rollout".parse().unwrap(),
            driver: "compose".parse().unwrap(),
            class: Class::Idempotent,
            target: Target::new("stack", &stack),
            fields: BTreeMap::from([("stack".to_owned(), Argument::Text(stack))]),
            timeout: Duration::from_secs(60),
            retry: Retry::default(),
        },
        arguments: BTreeMap::new(),
        role,
        needs: needs.iter().copied().map(StepId).collect(),
        after: BTreeSet::new(),
        lock: None,
        undo: Undo::Own {
            summary: "back to the images that ran before".to_owned(),
            class: Class::Idempotent,
        },
        preview: Preview {
            commands: vec![
                vec![
                    "docker".to_owned(),
                    "compose".to_owned(),
                    command.to_owned(),
                ],
                vec![
                    "docker".to_owned(),
                    "compose".to_owned(),
                    "up".to_owned(),
                    "-d".to_owned(),
                ],
            ],
            ..Preview::default()
        },
    }
}

/// `full` needs `media`; `other` was asked for too.
fn plan() -> Plan {
    Plan {
        requested: vec![name("full"), name("other")],
        steps: vec![
            step("media", StepRole::Dependency, &[], "pull"),
            step("full", StepRole::Requested, &[0], "pull"),
            step("other", StepRole::Requested, &[], "pull"),
        ],
        options: RunOptions::default(),
        max_parallel: 4,
        approvals: Vec::new(),
        definitions: BTreeMap::new(),
        catalog: Digest::of(b""),
        policy: Digest::of(b""),
        digest: Digest::of(b"plan"),
    }
}

fn failed(message: &str) -> StepStatus {
    StepStatus::Failed(Failure {
        code: ErrorCode::CommandFailed,
        message: message.to_owned(),
    })
}

fn snapshot(status: RunStatus, steps: [StepStatus; 3]) -> RunSnapshot {
    let mut run = Run::submitted(Submission {
        run: RunId::new("run_01JTEST").unwrap(),
        at: Timestamp::UNIX_EPOCH,
        origin: Origin {
            request: "req_01JTEST".parse().unwrap(),
            person: "api".parse().unwrap(),
            owners: BTreeSet::new(),
            account: Account::new(Surface::Http, "api"),
            surface: Surface::Http,
            address: None,
            reply_to: None,
            retry_of: None,
        },
        request: RunRequest::of(name("full")),
        plan: plan(),
    });
    run.status = status;
    for (step, status) in run.steps.iter_mut().zip(steps) {
        if status == StepStatus::Succeeded {
            step.tail = format!("out {}\n", step.id);
        }
        step.status = status;
    }
    RunSnapshot {
        run: Arc::new(run),
        queue_position: None,
        hold: None,
    }
}

fn edit(snapshot: &RunSnapshot, change: impl FnOnce(&mut Run)) -> RunSnapshot {
    let mut run = (*snapshot.run).clone();
    change(&mut run);
    RunSnapshot {
        run: Arc::new(run),
        ..snapshot.clone()
    }
}

/// Status and body, one line per top-level key, lists one line per item.
fn shown((status, body): (StatusCode, impl Serialize)) -> String {
    let mut lines = vec![status.as_u16().to_string()];
    for (key, value) in json(&body) {
        if let Value::Array(items) = value {
            lines.push(format!("{key}:"));
            lines.extend(items.iter().map(|item| format!("  {item}")));
        } else {
            lines.push(format!("{key}: {value}"));
        }
    }
    lines.join("\n")
}

fn of_run(snapshot: &RunSnapshot) -> String {
    match finished(&name("full"), snapshot, &Outputs::new()) {
        Ok(answer) => shown(answer),
        Err(error) => shown((StatusCode::IM_A_TEAPOT, error.into_body())),
    }
}

fn many(snapshot: &RunSnapshot) -> String {
    shown(orchestrated(Some(snapshot), &Outputs::new(), &[], &[], &[]))
}

#[test]
fn a_run_that_succeeded_is_the_seeds_answer_and_lists_dependencies() {
    let all = [
        StepStatus::Succeeded,
        StepStatus::Succeeded,
        StepStatus::Succeeded,
    ];
    let snapshot = snapshot(RunStatus::Succeeded, all);
    assert_snapshot!(of_run(&snapshot), @r#"
    200
    intent: "full"
    ok: true
    action: "rollout"
    stack: "stack-full"
    dry_run: false
    state: "succeeded"
    stdout: "out 2\n"
    run_id: "run_01JTEST"
    dependencies:
      {"intent":"media","ok":true,"action":"rollout","stack":"stack-media","dry_run":false,"role":"dependency","state":"succeeded","stdout":"out 1\n"}
      {"intent":"other","ok":true,"action":"rollout","stack":"stack-other","dry_run":false,"role":"requested","state":"succeeded","stdout":"out 3\n"}
    "#);
    let outputs = Outputs::from([(StepId(1), "the whole output".to_owned())]);
    let (_, body) = finished(&name("full"), &snapshot, &outputs).unwrap();
    assert_eq!(json(&body)["stdout"], "the whole output");
}

#[test]
fn a_run_that_failed_says_what_the_program_said() {
    let steps = [
        StepStatus::Succeeded,
        failed("docker compose exited with 1"),
        StepStatus::Skipped,
    ];
    let snapshot = edit(&snapshot(RunStatus::Failed, steps), |run| {
        run.steps[1].tail = "Pulling web\nno such image: web:9\n".to_owned();
        let mut undo = Step {
            id: StepId(3),
            kind: StepKind::Undo { of: StepId(1) },
            status: StepStatus::Succeeded,
            ..run.steps[1].clone()
        };
        undo.tail.clear();
        run.steps.push(undo);
    });
    assert_snapshot!(of_run(&snapshot), @r#"
    418
    detail: "Command failed: docker compose exited with 1\nPulling web\nno such image: web:9"
    code: "command_failed"
    run_id: "run_01JTEST"
    state: "failed"
    intent: "full"
    action: "rollout"
    stdout: "Pulling web\nno such image: web:9\n"
    rollback: {"ok":true,"state":"succeeded","message":"back to the images that ran before"}
    dependencies:
      {"intent":"media","ok":true,"action":"rollout","stack":"stack-media","dry_run":false,"role":"dependency","state":"succeeded","stdout":"out 1\n"}
      {"intent":"other","ok":false,"action":"rollout","stack":"stack-other","dry_run":false,"role":"requested","state":"skipped","skipped":true,"reason":"stopped","error":"Not started: full failed before"}
    "#);
}

#[test]
fn a_failed_dependency_is_named() {
    let steps = [
        failed("exited with 1"),
        StepStatus::Skipped,
        StepStatus::Skipped,
    ];
    let error = finished(
        &name("full"),
        &snapshot(RunStatus::Failed, steps.clone()),
        &Outputs::new(),
    )
    .unwrap_err()
    .into_body();
    assert_eq!(error.detail, "Command failed: media: exited with 1");
    assert_snapshot!(many(&snapshot(RunStatus::Failed, steps)), @r#"
    200
    ok: false
    results:
      {"intent":"media","ok":false,"action":"rollout","stack":"stack-media","dry_run":false,"role":"dependency","state":"failed","error":"Command failed: exited with 1","code":"command_failed","stdout":""}
      {"intent":"full","ok":false,"action":"rollout","stack":"stack-full","dry_run":false,"role":"requested","state":"skipped","error":"Dependency failed: media"}
      {"intent":"other","ok":false,"action":"rollout","stack":"stack-other","dry_run":false,"role":"requested","state":"skipped","skipped":true,"reason":"stopped","error":"Not started: media failed before"}
    summary: {"total":3,"success":0,"failed":2,"skipped":1}
    run_id: "run_01JTEST"
    state: "failed"
    "#);
}

#[test]
fn the_statuses_of_run_are_those_of_the_contract() {
    let pending = || StepStatus::Pending { retry_at: None };
    let denied = EndReason::Denied {
        by: "bob".parse().unwrap(),
        reason: "not today".to_owned(),
    };
    let voided = EndReason::Voided {
        changes: vec!["tag of full changed".to_owned()],
    };
    for (status, reason, code, detail) in [
        (
            RunStatus::AwaitingApproval,
            None,
            202,
            "Waiting for approval: `/rave approve run_01JTEST`",
        ),
        (RunStatus::Queued, None, 202, "Not finished yet: queued"),
        (RunStatus::Running, None, 202, "Not finished yet: running"),
        (
            RunStatus::Compensating,
            None,
            202,
            "Not finished yet: compensating",
        ),
        (
            RunStatus::NeedsAttention,
            None,
            202,
            "A person must say what became of step 1: `/rave resolve run_01JTEST 1 happened|did-not|again`",
        ),
        (
            RunStatus::Cancelled,
            Some(denied),
            409,
            "Run cancelled: denied by bob: not today",
        ),
        (
            RunStatus::Cancelled,
            Some(voided),
            409,
            "Run cancelled: the plan changed after it was approved: tag of full changed",
        ),
    ] {
        let snapshot = edit(
            &snapshot(status, [pending(), pending(), pending()]),
            |run| {
                run.reason = reason;
            },
        );
        let (found, body) = match finished(&name("full"), &snapshot, &Outputs::new()) {
            Ok((status, body)) => {
                let body = json(&body);
                assert_eq!(body["ok"], false);
                assert_eq!(body["run_id"], "run_01JTEST");
                (status.as_u16(), body)
            }
            Err(error) => (error.code().http_status(), json(&error.into_body())),
        };
        assert_eq!((found, body["detail"].as_str()), (code, Some(detail)));
    }
}

#[test]
fn an_orchestration_counts_every_step_once() {
    let all = [
        StepStatus::Succeeded,
        StepStatus::Succeeded,
        StepStatus::Succeeded,
    ];
    let snapshot = snapshot(RunStatus::Succeeded, all);
    let (status, body) = orchestrated(Some(&snapshot), &Outputs::new(), &[], &[], &[name("full")]);
    let body = json(&body);
    assert_eq!(status, 200);
    assert_eq!(body["ok"], true);
    assert_eq!(
        body["summary"].to_string(),
        r#"{"total":3,"success":3,"failed":0}"#
    );
    assert_eq!(
        body["repeated"].to_string(),
        r#"[{"intent":"full","skipped":true,"reason":"already_executed"}]"#
    );
}

#[test]
fn an_orchestration_that_goes_on_is_not_ok_yet() {
    let steps = [
        StepStatus::Succeeded,
        StepStatus::Running,
        StepStatus::Pending { retry_at: None },
    ];
    let (status, body) = orchestrated(
        Some(&snapshot(RunStatus::Running, steps)),
        &Outputs::new(),
        &[],
        &[],
        &[],
    );
    let body = json(&body);
    assert_eq!((status.as_u16(), &body["ok"]), (202, &Value::Bool(false)));
    assert_eq!(
        body["summary"].to_string(),
        r#"{"total":3,"success":1,"failed":0,"pending":2}"#
    );
}

#[test]
fn a_cancelled_orchestration_has_ended() {
    let steps = [
        StepStatus::Succeeded,
        StepStatus::Cancelled,
        StepStatus::Cancelled,
    ];
    let snapshot = edit(&snapshot(RunStatus::Cancelled, steps), |run| {
        let by = "ann".parse().unwrap();
        run.reason = Some(EndReason::Cancelled {
            by,
            reason: String::new(),
        });
    });
    let (status, body) = orchestrated(Some(&snapshot), &Outputs::new(), &[], &[], &[]);
    let body = json(&body);
    assert_eq!(
        (status.as_u16(), &body["reason"]),
        (200, &Value::from("cancelled by ann"))
    );
    assert_eq!(body["results"][1]["error"], "Not started: cancelled by ann");
    assert_eq!(body["ok"], false);
}

#[test]
fn what_cannot_run_is_a_result() {
    let refused = |intent: &str, code, message: &str| Refused {
        intent: intent.to_owned(),
        error: UserError::new(code, message),
    };
    let refused = [
        refused(
            "../secrets",
            ErrorCode::UnknownIntent,
            "there is no such intent",
        ),
        refused("other", ErrorCode::PolicyDenied, "no rule allows it"),
    ];
    let held_back = [name("full")];
    let answer = orchestrated(None, &Outputs::new(), &refused, &held_back, &[]);
    assert_snapshot!(shown(answer), @r#"
    200
    ok: false
    results:
      {"intent":"../secrets","ok":false,"reason":"there is no such intent","error":"Intent not found: ../secrets","code":"unknown_intent"}
      {"intent":"other","ok":false,"reason":"no rule allows it","error":"RBAC: action not permitted","code":"policy_denied"}
      {"intent":"full","ok":false,"skipped":true,"reason":"stopped","error":"Not started: ../secrets cannot run"}
    summary: {"total":3,"success":0,"failed":2,"skipped":1}
    "#);
    let nothing = orchestrated(None, &Outputs::new(), &[], &[], &[]);
    assert_snapshot!(shown(nothing), @r#"
    200
    ok: true
    results:
    summary: {"total":0,"success":0,"failed":0}
    "#);
}

#[test]
fn dry_runs_show_argument_vectors() {
    let dry = DryRun {
        plan: Arc::new(plan()),
        approvers: Vec::new(),
    };
    let body = json(&dry_run(&name("full"), &dry));
    assert_eq!(body["ok"], true);
    assert_eq!(body["dry_run"], true);
    assert_eq!(
        body["stdout"],
        "[DRY-RUN] Would execute: docker compose pull\n\
         [DRY-RUN] Would execute: docker compose up -d"
    );
    assert_eq!(body["dependencies"][0]["intent"], "media");
    let body = json(&planned(Some(&dry), &[], &[]));
    assert_eq!(
        body["summary"].to_string(),
        r#"{"total":3,"success":3,"failed":0}"#
    );
    assert_eq!(body["results"][1]["intent"], "full");
}

#[test]
fn refusals_use_the_seeds_words() {
    let words = |code, denied: &str| {
        let error = UserError::new(code, "in our words").hint("what next");
        json(&in_the_seeds_words(error, "x", denied).into_body())
    };
    for (code, detail) in [
        (ErrorCode::UnknownIntent, "Intent not found: x"),
        (
            ErrorCode::PolicyDenied,
            "RBAC: run_now not permitted for intent",
        ),
        (ErrorCode::LabelMismatch, "Label requirement mismatch"),
    ] {
        let body = words(code, "RBAC: run_now not permitted for intent");
        assert_eq!(
            (body["detail"].as_str(), body["reason"].as_str()),
            (Some(detail), Some("in our words"))
        );
    }
    let body = words(ErrorCode::MissingField, "");
    assert_eq!(body["detail"], "in our words");
    assert_eq!(body["hint"], "what next");
}

#[test]
fn names_cannot_leave_the_folder() {
    for (body, found) in [
        (r#"{"name": "../intents/x"}"#, false),
        (r#"{"name": "/etc/passwd"}"#, false),
        (r#"{"name": "a..b"}"#, false),
        (r#"{"name": "rollout_stack_media"}"#, true),
    ] {
        let request = RunBody::parse(body.as_bytes()).unwrap().request();
        assert_eq!(request.is_ok(), found, "{body}");
        if let Err(error) = request {
            assert_eq!(error.code(), ErrorCode::UnknownIntent);
        }
    }
}
