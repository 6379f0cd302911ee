use insta::assert_snapshot;
use rave_domain::RunId;
use rave_domain::reply::Press;

use super::*;

fn run() -> RunId {
    RunId::new("run_01JTEST").unwrap()
}

#[test]
fn a_live_message_reads_well() {
    let reply = Reply::default()
        .about(run())
        .tone(Tone::Warning)
        .with(Block::Heading(
            "rollout_stack_full waits for approval".to_owned(),
        ))
        .with(Block::Fields(vec![
            ("asked by".to_owned(), "ann".to_owned()),
            ("plan".to_owned(), "3f9ac2".to_owned()),
        ]))
        .with(Block::Steps(vec![
            StepLine {
                number: 1,
                title: "rollout_stack_media".to_owned(),
                state: "succeeded".to_owned(),
                note: "3 s".to_owned(),
            },
            StepLine {
                number: 2,
                title: "undo of rollout_stack_full".to_owned(),
                state: "pending".to_owned(),
                note: String::new(),
            },
        ]))
        .with(Block::Code("docker compose -f x.yml pull".to_owned()))
        .with(Block::List(vec!["service web of stack-media".to_owned()]))
        .with(Block::Buttons(vec![
            Button {
                label: "Approve".to_owned(),
                press: Press::Approve,
                run: run(),
            },
            Button {
                label: "Deny".to_owned(),
                press: Press::Deny,
                run: run(),
            },
        ]));
    assert_snapshot!(markdown(&reply), @r"
    #### ⚠️ rollout_stack_full waits for approval

    - **asked by:** ann
    - **plan:** 3f9ac2

    1. `rollout_stack_media`: **succeeded**, 3 s
    2. `undo of rollout_stack_full`: **pending**

    ```
    docker compose -f x.yml pull
    ```

    - service web of stack-media

    Approve: `/rave approve run_01JTEST` · Deny: `/rave deny run_01JTEST`
    ");
}

#[test]
fn the_sign_stands_where_it_breaks_nothing() {
    let tone = |block| markdown(&Reply::default().tone(Tone::Good).with(block));
    assert_eq!(tone(Block::Text("Done".to_owned())), "✅ Done");
    assert_eq!(tone(Block::Heading("Done".to_owned())), "#### ✅ Done");
    assert_eq!(tone(Block::Code("x".to_owned())), "✅\n\n```\nx\n```");
    assert_eq!(tone(Block::List(vec!["a".to_owned()])), "✅\n\n- a");
    assert_eq!(markdown(&Reply::default().tone(Tone::Bad)), "❌");
}

#[test]
fn text_mentions_nobody_and_formats_nothing() {
    let shown = |text: &str| markdown(&Reply::text(text)).replace('\u{200b}', "·");
    for (text, expected) in [
        ("@all and @channel, @here", "@·all and @·channel, @·here"),
        (
            "@ann (@bob) x.@eve -@eve _@eve",
            "@·ann (@·bob) x.@·eve -@·eve \\_@·eve",
        ),
        ("@@all", "@·@·all"),
        ("mail ann@example.com", "mail ann@example.com"),
        (
            "run_01JTEST of rollout_stack_media",
            "run_01JTEST of rollout_stack_media",
        ),
        ("_it_ **b** ~~s~~", "\\_it\\_ \\*\\*b\\*\\* \\~\\~s\\~\\~"),
        ("did you mean `a_b` or `c`?", "did you mean `a_b` or `c`?"),
        ("`a`, `- b`, *`c @all", "`a`, `- b`, \\*\\`c @·all"),
        (r"``a`` ``` `` ` \`x`", r"\`\`a\`\` \`\`\` \`\` \` \\\`x\`"),
        ("[a](http://x) <b> a|b", "\\[a\\](http://x) \\<b\\> a\\|b"),
        ("# head", "\\# head"),
        ("- item", "\\- item"),
        ("a - b # c", "a - b # c"),
        ("  * item", "  \\* item"),
        ("      code", "code"),
        ("1. item", "1\\. item"),
        ("10) item", "10\\) item"),
        ("took 1.5 s.", "took 1.5 s."),
        ("---", "\\---"),
        ("===", "\\==="),
        ("\u{202e}reversed\u{1b}[31m red", "reversed red"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn one_line_stays_one_line() {
    let reply = Reply::default()
        .with(Block::Heading("a\n# b".to_owned()))
        .with(Block::Fields(vec![(
            "n\n".to_owned(),
            "v\n- w @all".to_owned(),
        )]))
        .with(Block::Steps(vec![StepLine {
            number: 1,
            title: "a`@all".to_owned(),
            state: "failed".to_owned(),
            note: "line\n\n## two".to_owned(),
        }]));
    assert_snapshot!(markdown(&reply).replace('\u{200b}', "·"), @r"
    #### a # b

    - **n:** v - w @·all

    1. a\`@·all: **failed**, line ## two
    ");
}

#[test]
fn output_cannot_leave_its_block() {
    let code = |text: &str| markdown(&Reply::default().with(Block::Code(text.to_owned())));
    assert_eq!(code("a\n@all *b*"), "```\na\n@all *b*\n```");
    assert_eq!(code("```\n@all"), "````\n```\n@all\n````");
    assert_eq!(code("x ````` y"), "``````\nx ````` y\n``````");
    let many = code(&"`".repeat(5000));
    let (fence, rest) = many.split_once('\n').unwrap();
    assert_eq!(fence.len(), 16);
    assert_eq!(rest.matches(fence).count(), 1);
    assert!(rest.ends_with(fence));
}

#[test]
fn long_output_keeps_its_end_and_says_what_is_missing() {
    let output: String = (1..=2000).map(|n| format!("line {n}\n")).collect();
    let reply = Reply::text("It failed")
        .about(run())
        .with(Block::Code(output))
        .with(Block::Text("The end".to_owned()));
    let shown = markdown(&reply);
    assert!(shown.chars().count() <= MESSAGE_LIMIT);
    assert!(
        shown.chars().count() > MESSAGE_LIMIT - 50,
        "{}",
        shown.chars().count()
    );
    assert!(shown.ends_with("line 2000\n```\n\nThe end"));
    let missing = 2000 - shown.matches("line ").count();
    let start =
        format!("It failed\n\n… {missing} lines more: `/rave logs run_01JTEST`\n```\nline ");
    assert!(shown.starts_with(&start), "{missing} {}", &shown[..120]);
}

#[test]
fn a_short_output_is_not_cut_for_a_long_one() {
    let reply = Reply::default()
        .with(Block::Code("x\n".repeat(9000)))
        .with(Block::Code("whole".to_owned()))
        .with(Block::Code("y".repeat(20_000)));
    let shown = markdown(&reply);
    assert!(shown.chars().count() <= MESSAGE_LIMIT);
    assert!(shown.contains("\nwhole\n"));
    assert!(shown.contains("\n…yyy"));
}

#[test]
fn long_prose_is_cut_with_a_word() {
    let list = Block::List((0..3000).map(|n| format!("intent_{n}")).collect());
    let shown = markdown(
        &Reply::default()
            .about(run())
            .with(list)
            .with(Block::Text("x".to_owned())),
    );
    assert!(shown.chars().count() <= MESSAGE_LIMIT);
    assert!(shown.ends_with("\n\n… the rest does not fit here: `/rave show run_01JTEST`"));

    let shown = markdown(&Reply::text("@".repeat(40_000)));
    assert!(shown.chars().count() <= MESSAGE_LIMIT);
    assert!(shown.ends_with("…\n\n… the rest does not fit here"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(80))]
    #[test]
    fn no_content_escapes_or_overflows(text in "(@(all|here|bob)|`{1,20}|[a-z*_~\\\\<> \n#.-]){0,80}", repeat in 1_usize..200) {
        let text = text.repeat(repeat);
        let reply = Reply::text(text.clone())
            .about(run())
            .with(Block::Code(text.clone()))
            .with(Block::List(vec![text.clone(), text]));
        let shown = markdown(&reply);
        proptest::prop_assert!(shown.chars().count() <= MESSAGE_LIMIT);
        let outside = outside_code(&shown);
        let mentions = outside.split('@').zip(outside.split('@').skip(1));
        for (before, after) in mentions {
            let inside_a_word = before.ends_with(|c: char| c.is_ascii_alphanumeric());
            proptest::prop_assert!(inside_a_word || after.starts_with(['\u{200b}', '…']), "{before}@{after}");
        }
    }
}

/// What stands outside fenced blocks, read as Mattermost's clients do.
fn outside_code(shown: &str) -> String {
    let mut out = String::new();
    let mut fence: Option<String> = None;
    for line in shown.lines() {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            None if ticks.len() >= 3 && ticks.len() == line.len() => fence = Some(ticks),
            None => {
                out.push_str(line);
                out.push('\n');
            }
            Some(open) if line.ends_with(open.as_str()) => fence = None,
            Some(_) => {}
        }
    }
    out
}
