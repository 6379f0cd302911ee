use std::fs;
use std::path::Path;

use proptest::prelude::*;

use crate::fuzz;

/// Texts that once were interesting, one file each.
fn corpus(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(folder);
    let texts: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!texts.is_empty(), "{} is empty", folder.display());
    texts
}

#[test]
fn the_corpus_holds_no_surprise() {
    for text in corpus("command_line") {
        for line in text.lines() {
            fuzz::command_line(line);
        }
    }
    for text in corpus("intent_file") {
        fuzz::intent_file(&text);
    }
}

/// Lines made of what lines are made of, so that many are accepted.
fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        3 => prop::sample::select(vec![
            "run", "plan", "approve", "deny", "cancel", "freeze", "unlock", "resolve", "help", "schedule", "unfreeze",
            "rollout", "media", "rollout_stack_media", "vm", "logs", "vm.logs", "acme", "web", "run_01ABC", "1",
            "happened", "*", "stack/media", "-f", "-t", "5", "--tail", "--follow", "--help", "-h", "--", "--parallel",
            "--dry-run", "--stop-on-failure=false", "--unwind=run", "—follow", "don’t", "don't", "true",
        ]).prop_map(str::to_owned),
        1 => "(tail|domain|labels|token|follow|x)=['\"a-z,=“”\\\\ {}-]{0,8}",
        1 => "['\"a-z=“”‘’\\\\ -]{0,8}",
        1 => "\\PC{0,6}",
    ];
    prop::collection::vec(word, 0..8).prop_map(|words| words.join(" "))
}

/// Files made of lines that files are made of.
fn file() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => prop::sample::select(vec![
            "action: fuzz", "stack: x", "stack: '{{ a }}'", "params:", "  a: slug", "  b: {type: int, min: 1}",
            "  c: {type: list, default: [x]}", "replicas: '{{ b }}'", "replicas: 3", "options: ['{{ a }}', b]",
            "exclude: '{{ c }}'", "with: {compose: x}", "depends_on: [x]", "roles: ops", "approval: {required: 2}",
            "timeout: 5m", "retry: {max: 1, backoff: 1s..2s}", "lock: a/{{ a }}", "undo: none", "command: x <a>",
            "---", "# words", "description: |", "  words", "label_required: y",
        ]).prop_map(str::to_owned),
        1 => "[a-z]{1,6}: ?[\\[\\]{}a-z0-9'\":,&*!|> -]{0,10}",
        1 => "\\PC{0,12}",
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(800) })]

    #[test]
    fn any_command_line_is_answered(text in line()) {
        fuzz::command_line(&text);
    }

    #[test]
    fn any_intent_file_is_answered(text in file()) {
        fuzz::intent_file(&text);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,40}") {
        fuzz::command_line(&text);
        fuzz::intent_file(&text);
    }
}
