use super::*;
use crate::tests::{actions, catalog as load, raw, sources};
use crate::{Settings, SourceFile};
use rave_domain::request::{Order, RunOptions, Unwind};

fn catalog() -> Catalog {
    let files = sources(&[
        (
            "rollout_stack_media.yaml",
            "# Roll media\naction: rollout\ncommand: rollout media\nstack: stack-media\n",
        ),
        (
            "rollout_stack_ai.yaml",
            "action: rollout\ncommand: rollout ai\nstack: stack-ai\n",
        ),
        (
            "scale_stack.yaml",
            "action: scale\ncommand: scale <stack> <service> [replicas]\nparams:\n  stack: slug\n  service: slug\n  replicas: {type: int, default: 1}\nwith: {stack: '{{ stack }}', service: '{{ service }}', replicas: '{{ replicas }}'}\n",
        ),
        (
            "tags.yaml",
            "action: backup\ncommand: tag them <tags>\nparams: {tags: list}\nwith: {backup_type: x, exclude: '{{ tags }}'}\n",
        ),
    ]);
    let schedules = SourceFile::other(
        "schedules.json",
        r#"{"schedules": [{"name": "nightly run", "intent": "rollout_stack_ai", "cron": "0 3 * * *"}]}"#,
    );
    Catalog::load(&files, Some(&schedules), &actions(), &Settings::default()).unwrap()
}

fn change(line: &str) -> Change {
    match parse(&catalog(), line) {
        Ok(Ask::Change(change)) => change,
        other => panic!("{line} gave {other:?}"),
    }
}

fn query(line: &str) -> Query {
    match parse(&catalog(), line) {
        Ok(Ask::Query(query)) => query,
        other => panic!("{line} gave {other:?}"),
    }
}

fn refusal(line: &str) -> String {
    let error = parse(&catalog(), line).unwrap_err();
    format!("{}: {error}", error.code)
}

fn request(line: &str) -> RunRequest {
    let Change::Run(request) = change(line) else {
        panic!("{line} runs nothing")
    };
    request
}

fn run() -> RunId {
    RunId::new("run_01ABC").unwrap()
}

#[test]
fn every_built_in_is_understood() {
    assert_eq!(
        query(""),
        Query::Help {
            topic: String::new()
        }
    );
    assert_eq!(
        query("help  vm logs"),
        Query::Help {
            topic: "vm logs".to_owned()
        }
    );
    assert_eq!(query("Intents"), Query::Intents);
    assert_eq!(query("runs"), Query::Runs);
    assert_eq!(query("show run_01ABC"), Query::Show { run: run() });
    assert_eq!(query("logs run_01ABC"), Query::Logs { run: run() });
    assert_eq!(query("schedules"), Query::Schedules);
    assert_eq!(query("whoami"), Query::Whoami);
    assert_eq!(query("locks"), Query::Locks);
    assert_eq!(query("freezes"), Query::Freezes);
    assert_eq!(query("audit"), Query::Audit);
    assert_eq!(query("status"), Query::Status);
    assert_eq!(change("reload"), Change::Reload);
    assert_eq!(change("retry run_01ABC"), Change::Retry { run: run() });
    let lock = LockKey::new("stack/media").unwrap();
    assert_eq!(change("unlock stack/media"), Change::Unlock { lock });
    assert_eq!(
        change("unfreeze *"),
        Change::Unfreeze {
            scope: "*".to_owned()
        }
    );
    let reason = String::new();
    assert_eq!(
        change("cancel run_01ABC"),
        Change::Cancel { run: run(), reason }
    );
    let resolve = Change::Resolve {
        run: run(),
        step: StepId(1),
        verdict: Verdict::DidNot,
    };
    assert_eq!(change("resolve run_01ABC 2 did-not"), resolve);
    let fire = |dry_run| Change::ScheduleRun {
        name: "nightly run".to_owned(),
        dry_run,
    };
    assert_eq!(change("schedule run 'nightly run'"), fire(false));
    assert_eq!(change("schedule run “nightly run” --dry-run"), fire(true));
}

#[test]
fn reasons_need_no_quotes() {
    let denied = |reason: &str| Change::Decide {
        run: run(),
        decision: Decision::Deny,
        reason: reason.to_owned(),
    };
    assert_eq!(
        change("deny run_01ABC I don't think so"),
        denied("I don't think so")
    );
    assert_eq!(change("deny run_01ABC \"not today\""), denied("not today"));
    assert_eq!(change("deny run_01ABC"), denied(""));
    let freeze = Change::Freeze {
        scope: "*".to_owned(),
        reason: "it's Friday".to_owned(),
    };
    assert_eq!(change("freeze * it's Friday"), freeze);
}

#[test]
fn help_stands_behind_any_command() {
    let topic = |line: &str| {
        let Query::Help { topic } = query(line) else {
            panic!("{line} asks for something else")
        };
        topic
    };
    assert_eq!(topic("rollout media --help"), "rollout_stack_media");
    assert_eq!(topic("approve run_01ABC --help"), "approve");
    assert_eq!(topic("schedule run --help"), "schedule run");
    assert_eq!(topic("rollout —help"), "rollout");
    assert_eq!(topic("run scale_stack -h"), "scale_stack");
    assert_eq!(topic("--help"), "");
}

#[test]
fn intents_run_by_words_by_name_and_in_numbers() {
    assert_eq!(
        request("rollout media").intents[0].as_str(),
        "rollout_stack_media"
    );
    assert_eq!(
        request("Rollout Media").intents[0].as_str(),
        "rollout_stack_media"
    );
    assert_eq!(
        request("rollout_stack_media").intents[0].as_str(),
        "rollout_stack_media"
    );
    let both = request("run rollout_stack_ai rollout_stack_media");
    assert_eq!(both.intents.len(), 2);
    assert_eq!(
        request("run rollout media").intents[0].as_str(),
        "rollout_stack_media"
    );
    let Query::Plan(plan) = query("plan scale ai web 3") else {
        panic!("a plan")
    };
    assert_eq!(
        plan.arguments,
        raw(&[("stack", "ai"), ("service", "web"), ("replicas", "3")])
    );
}

#[test]
fn options_say_how_a_run_behaves() {
    let request = request(
        "run rollout_stack_ai --parallel --stop-on-failure=false rollback_on_failure=no --unwind run",
    );
    let expected = RunOptions {
        stop_on_failure: false,
        rollback_on_failure: false,
        unwind: Unwind::Run,
        order: Order::Parallel,
    };
    assert_eq!(request.options, expected);
    assert!(matches!(query("rollout media --dry-run"), Query::Plan(_)));
    assert!(matches!(
        change("rollout media dry_run=false"),
        Change::Run(_)
    ));
}

#[test]
fn positions_names_and_mixtures_bind() {
    let expected = raw(&[("stack", "ai"), ("service", "web"), ("replicas", "3")]);
    for line in [
        "scale ai web 3",
        "scale --stack ai web 3",
        "scale ai web replicas=3",
        "scale service=web ai 3",
        "run scale_stack stack=ai service=web --replicas=3",
    ] {
        assert_eq!(request(line).arguments, expected, "{line}");
    }
    assert_eq!(
        request("tag them a b 'c d'").arguments["tags"],
        ["a", "b", "c d"]
    );
    assert_eq!(
        request("tag them -- --x -5").arguments["tags"],
        ["--x", "-5"]
    );
}

#[test]
fn what_is_not_understood_gets_the_nearest_that_is() {
    insta::assert_snapshot!(refusal("rolout media"), @"unknown_command: there is no command `rolout media`; did you mean `rollout media`?");
    insta::assert_snapshot!(refusal("rollout medai"), @"unknown_command: there is no command `rollout medai`; did you mean `rollout media` or `rollout ai`?");
    insta::assert_snapshot!(refusal("rollout"), @"unknown_command: `rollout` is not a whole command; it goes on as `rollout ai` or `rollout media`");
    insta::assert_snapshot!(refusal("statsu"), @"unknown_command: there is no command `statsu`; did you mean `status`?");
    insta::assert_snapshot!(refusal("make coffee"), @"unknown_command: there is no command `make coffee`; `help` lists what there is");
    insta::assert_snapshot!(refusal("run rollout_stack_medai"), @"unknown_intent: there is no intent called `rollout_stack_medai`; did you mean `rollout_stack_media` or `rollout_stack_ai`?");
    insta::assert_snapshot!(refusal("why"), @"unknown_command: there is no command `why`; `help` lists what there is");
    insta::assert_snapshot!(refusal("schedule pause x"), @"unknown_command: there is no command `schedule pause`; write schedule run <name> [--dry-run]");
    insta::assert_snapshot!(refusal("schedule run nightly-run"), @"not_found: there is no schedule called `nightly-run`; did you mean `nightly run`?");
    insta::assert_snapshot!(refusal("freeze rollout_stack_medai"), @"invalid_argument: there is nothing called `rollout_stack_medai` to freeze; did you mean `rollout_stack_media` or `rollout_stack_ai`?");
}

#[test]
fn wrong_arguments_are_named() {
    insta::assert_snapshot!(refusal("scale ai web 3 4"), @"invalid_argument: `4` is one word too many; write scale <stack> <service> [replicas]");
    insta::assert_snapshot!(refusal("scale ai web --replica 3"), @"invalid_argument: there is no parameter `replica`; did you mean `replicas`?");
    insta::assert_snapshot!(refusal("scale ai web x=1 stak=2"), @"invalid_argument: there is no parameter `x` (there are `replicas`, `service` and `stack`); there is no parameter `stak` (did you mean `stack`?)");
    insta::assert_snapshot!(refusal("scale ai web --dryrun"), @"invalid_argument: there is no parameter `dryrun`; did you mean `--dry-run`?");
    insta::assert_snapshot!(refusal("scale ai web paralel=true"), @"invalid_argument: there is no parameter `paralel`; did you mean `--parallel`?");
    insta::assert_snapshot!(refusal("scale ai web --replicas"), @"invalid_argument: `--replicas` needs a value; write --replicas=value");
    insta::assert_snapshot!(refusal("scale ai web -f"), @"invalid_argument: there is no option `-f`; options here are written --name");
    insta::assert_snapshot!(refusal("scale ai web --unwind=all"), @"invalid_argument: `unwind` is run or step; write --unwind=run");
    insta::assert_snapshot!(refusal("scale ai web --parallel=maybe"), @"invalid_argument: `parallel` is true or false, not `maybe`; write --parallel=false");
    insta::assert_snapshot!(refusal("rollout media tag=1"), @"invalid_argument: there is no parameter `tag`; it takes no parameters");
    insta::assert_snapshot!(refusal("show 17"), @"invalid_argument: `17` is not the id of a run; ids look like run_01J…; `runs` lists them");
    insta::assert_snapshot!(refusal("approve"), @"bad_request: `approve` needs a run; write approve <run> [reason]");
    insta::assert_snapshot!(refusal("retry run_01ABC now"), @"bad_request: `retry` takes fewer words; write retry <run>");
    insta::assert_snapshot!(refusal("runs --all"), @"bad_request: `runs` has no option `--all`; write runs");
    insta::assert_snapshot!(refusal("resolve run_01ABC 0 happened"), @"invalid_argument: `0` is not the number of a step; steps count from 1; `show` lists them");
    insta::assert_snapshot!(refusal("resolve run_01ABC 1 maybe"), @"invalid_argument: a verdict is happened, did-not or again, not `maybe`; happened: the step succeeded; did-not: it failed; again: run it once more");
    insta::assert_snapshot!(refusal("run"), @"bad_request: `run` needs at least one intent; `intents` lists them");
    insta::assert_snapshot!(refusal("--parallel run x"), @"bad_request: a command starts with a word, not with `--parallel`; `help` lists them");
}

#[test]
fn lines_have_limits() {
    insta::assert_snapshot!(refusal(&"x".repeat(4_001)), @"bad_request: the command has 4001 characters and may have 4000; long values belong into a file");
    insta::assert_snapshot!(refusal(&"x ".repeat(201)), @"bad_request: the line has more than 200 words; long values belong into quotes or a file");
    insta::assert_snapshot!(refusal("rollout media\u{202e}"), @"bad_request: the command holds a character that cannot be seen; type it again without pasting");
    assert!(parse(&catalog(), "rollout\n media").is_ok());
}

#[test]
fn a_request_can_be_written_as_a_line() {
    let line = |text: &str| to_line(&parse(&catalog(), text).unwrap());
    assert_eq!(
        line("scale ai “web two” --parallel"),
        "run scale_stack service='web two' stack=ai --parallel"
    );
    assert_eq!(line("plan rollout media"), "plan rollout_stack_media");
    assert_eq!(
        line("deny run_01ABC \"it's late\""),
        "deny run_01ABC it's late"
    );
}

#[test]
fn an_intent_called_like_a_command_of_two_words_is_found_by_both() {
    let catalog = load(&[(
        "vm/start.yaml",
        "action: rollout\ncommand: vm start\nstack: x\n",
    )]);
    for text in ["vm start", "vm.start", "VM Start"] {
        assert!(parse(&catalog, text).is_ok(), "{text}");
    }
}
