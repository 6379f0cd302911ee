use super::*;
use crate::tests::catalog;

fn some() -> Catalog {
    catalog(&[
        (
            "vm/logs.yaml",
            "description: Shows what a service wrote\naction: backup\ncommand: vm logs <company> [service]\nparams:\n  company: {type: slug, description: whose VM}\n  service: string\n  follow: {type: bool, short: f}\n  tail: {type: int, min: 1, max: 500, default: 50}\n  access: {type: enum, values: [a, b], required: false}\nwith: {backup_type: '{{ company }}', stack: '{{ service }}', notes: '{{ follow }}', source: '{{ tail }}', storage: '{{ access }}'}\ndepends_on: [vm.start]\napproval: {required: 2, from: [ops, oncall]}\nundo: vm.start\n",
        ),
        (
            "vm/start.yaml",
            "# Starts a VM\naction: rollout\ncommand: vm start\nstack: x\n",
        ),
    ])
}

fn topic_text(words: &str) -> String {
    topic(&some(), words, &|_| true).unwrap().reply().plain()
}

#[test]
fn a_command_is_explained() {
    insta::assert_snapshot!(topic_text("vm logs acme"), @"
        vm logs <company> [service] [--follow] [--tail <int>] [--access a|b]
        Shows what a service wrote.
        company: whose VM; required; a short name (lower-case letters, digits, dashes)
        service: text
        follow, -f: true or false
        tail: a whole number from 1 to 500; without it 50
        access: `a` or `b`
        It is the intent vm.logs. Before it runs vm.start. It waits until 2 other people with the role oncall or ops agreed. It is undone by vm.start. With --dry-run it only shows what would happen.
        ");
    assert_eq!(topic_text("vm.logs"), topic_text("vm logs"));
}

#[test]
fn built_ins_and_groups_are_explained() {
    insta::assert_snapshot!(topic_text("schedule run"), @"
        schedule run <name> [--dry-run]
        Fires a schedule now.
        ");
    insta::assert_snapshot!(topic_text("vm"), @"
        Commands that start with vm
        vm logs <company> [service] [--follow] [--tail <int>] [--access a|b]: Shows what a service wrote
        vm start: Starts a VM
        ");
    let error = topic(&some(), "vm lgos", &|_| true).unwrap_err();
    insta::assert_snapshot!(error, @"there is no command `vm lgos`; did you mean `vm logs`?");
}

#[test]
fn the_overview_shows_what_the_caller_may_do() {
    let text = overview(&some(), &|intent| intent.name.as_str() == "vm.start")
        .reply()
        .plain();
    assert!(text.contains("vm start: Starts a VM"), "{text}");
    assert!(!text.contains("vm logs"), "{text}");
    let text = overview(&some(), &|_| false).reply().plain();
    assert!(
        text.starts_with("There is no intent that you may run."),
        "{text}"
    );
}

#[test]
fn the_listing_shows_all_and_marks_what_the_caller_may_run() {
    let listing = listing(&some(), &|intent| intent.name.as_str() == "vm.start");
    insta::assert_snapshot!(listing.reply().plain(), @"
        You may run
        vm.start: Starts a VM
        Others may run
        vm.logs: Shows what a service wrote
        ");
}

#[test]
fn what_the_caller_may_not_run_is_said() {
    let text = topic(&some(), "vm start", &|_| false)
        .unwrap()
        .reply()
        .plain();
    insta::assert_snapshot!(text, @"
        vm start
        Starts a VM.
        You may not run this as things stand. It is the intent vm.start. With --dry-run it only shows what would happen.
        ");
}

#[test]
fn a_long_list_ends_with_how_to_see_the_rest() {
    let files: Vec<(String, String)> = (0..45)
        .map(|n| {
            (
                format!("i{n}.yaml"),
                "action: rollout\nstack: x\n".to_owned(),
            )
        })
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let text = overview(&catalog(&files), &|_| true).reply().plain();
    assert!(text.contains("And 5 more"), "{text}");
}
