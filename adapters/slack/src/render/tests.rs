use insta::assert_snapshot;

use super::*;

fn run() -> RunId {
    RunId::new("run_01JTEST").unwrap()
}

fn button_of(press: Press) -> Button {
    Button {
        label: format!("{press:?}"),
        press,
        run: run(),
    }
}

/// The message as people see it: `*bold*`, `` `code` ``, `[button]`.
fn shown(message: &Message) -> String {
    fn texts(value: &Value, out: &mut String) {
        match value["type"].as_str() {
            Some("text") => {
                let text = value["text"].as_str().unwrap();
                assert!(!text.is_empty(), "an empty text element is refused");
                let sign = match (&value["style"]["bold"], &value["style"]["code"]) {
                    (Value::Bool(true), _) => "*",
                    (_, Value::Bool(true)) => "`",
                    _ => "",
                };
                *out += &format!("{sign}{text}{sign}");
            }
            Some("rich_text_list") => {
                for item in value["elements"].as_array().unwrap() {
                    *out += "• ";
                    texts(item, out);
                    out.push('\n');
                }
            }
            Some("rich_text_preformatted") => {
                *out += "```\n";
                *out += value["elements"][0]["text"].as_str().unwrap();
                *out += "\n```";
            }
            Some("button") => {
                let style = value["style"].as_str().unwrap_or_default();
                *out += &format!("[{}{style}] ", value["text"]["text"].as_str().unwrap());
            }
            _ => {
                for element in value["elements"].as_array().unwrap() {
                    texts(element, out);
                }
            }
        }
    }
    let mut out = String::new();
    for block in &message.blocks {
        texts(block, &mut out);
        out.push('\n');
    }
    out
}

fn whole_length(message: &Message) -> usize {
    message.blocks.iter().map(text_length).sum()
}

fn text_length(value: &Value) -> usize {
    match value {
        Value::Object(fields) if value["type"] == "text" => {
            fields["text"].as_str().unwrap().chars().count()
        }
        Value::Object(fields) => fields.get("elements").map_or(0, text_length),
        Value::Array(items) => items.iter().map(text_length).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn fits(message: &Message) {
    assert!(
        message.blocks.len() <= MOST_BLOCKS,
        "{}",
        message.blocks.len()
    );
    assert!(
        whole_length(message) <= LONGEST_MESSAGE,
        "{}",
        whole_length(message)
    );
    for block in &message.blocks {
        assert!(
            text_length(block) <= LONGEST_BLOCK,
            "{}",
            text_length(block)
        );
    }
    assert!(message.text.chars().count() <= LONGEST_FALLBACK);
}

#[test]
fn a_live_message_reads_well() {
    let reply = Reply::default()
        .about(run())
        .tone(Tone::Warning)
        .with(Block::Heading(
            "run_01JTEST: rollout_media awaits approval.".to_owned(),
        ))
        .with(Block::Steps(vec![
            StepLine {
                number: 1,
                title: "rollout_media".to_owned(),
                state: "running".to_owned(),
                note: "3 s".to_owned(),
            },
            StepLine {
                number: 2,
                title: "undo of rollout_media".to_owned(),
                state: "pending".to_owned(),
                note: String::new(),
            },
        ]))
        .with(Block::Code("docker compose pull".to_owned()))
        .with(Block::Fields(vec![(
            "Plan".to_owned(),
            "3f9ac2".to_owned(),
        )]))
        .with(Block::List(vec![
            "service web".to_owned(),
            "stack/web".to_owned(),
        ]))
        .with(Block::Text(
            "Say `/rave approve run_01JTEST`, or not.".to_owned(),
        ))
        .with(Block::Buttons(vec![
            button_of(Press::Approve),
            button_of(Press::Deny),
            button_of(Press::Cancel),
        ]));
    let message = Message::of(&reply);
    fits(&message);
    assert_snapshot!(shown(&message), @"
    ⚠️ *run_01JTEST: rollout_media awaits approval.*
    1. `rollout_media`: *running*, 3 s
    2. `undo of rollout_media`: *pending*
    ```
    docker compose pull
    ```
    *Plan: *3f9ac2
    • service web
    • stack/web

    Say `/rave approve run_01JTEST`, or not.
    [Approveprimary] [Denydanger] [Cancel]
    ");
    assert_snapshot!(message.text, @"
    ⚠️ run_01JTEST: rollout_media awaits approval.
    1. rollout_media: running, 3 s
    2. undo of rollout_media: pending
    docker compose pull
    Plan: 3f9ac2
    • service web
    • stack/web
    Say /rave approve run_01JTEST, or not.
    ");
}

#[test]
fn nothing_in_text_is_markup_or_mentions_anybody() {
    let nasty = "<!channel> <@U1> <https://x|y> *b* ```\n&amp; @here :boom:";
    let reply = Reply::text(nasty)
        .with(Block::Code(format!("{nasty}\u{1b}[31m\u{202e}")))
        .with(Block::List(vec![nasty.to_owned()]))
        .with(Block::Heading(nasty.to_owned()));
    let message = Message::of(&reply);
    // Everything is the text of a text element, which is shown as it is.
    fn only_text(value: &Value) {
        match value {
            Value::Object(fields) => {
                let kind = fields["type"].as_str().unwrap();
                let known = [
                    "rich_text",
                    "rich_text_section",
                    "rich_text_list",
                    "rich_text_preformatted",
                    "text",
                ];
                assert!(known.contains(&kind), "{kind}");
                if let Some(elements) = fields.get("elements") {
                    only_text(elements);
                }
            }
            Value::Array(items) => items.iter().for_each(only_text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    message.blocks.iter().for_each(only_text);
    assert!(
        shown(&message)
            .contains("```\n<!channel> <@U1> <https://x|y> *b* ```\n&amp; @here :boom:\n```")
    );
    assert!(!message.text.contains(['<', '>']), "{}", message.text);
    assert!(message.text.contains("&lt;!channel&gt;"));
    assert!(message.text.contains("&amp;amp;"));
}

#[test]
fn long_output_keeps_its_end_and_says_what_is_missing() {
    let output: String = (1..=2000).map(|n| format!("line {n}\n")).collect();
    let reply = Reply::text("It failed")
        .about(run())
        .with(Block::Code(output))
        .with(Block::Text("The end".to_owned()))
        .with(Block::Buttons(vec![button_of(Press::Retry)]));
    let message = Message::of(&reply);
    fits(&message);
    let shown = shown(&message);
    let missing = 2000 - shown.matches("\nline ").count();
    assert!(
        shown.starts_with(&format!(
            "It failed\n… {missing} lines more: `/rave logs run_01JTEST`\n```\nline "
        )),
        "{missing} {shown}"
    );
    assert!(
        shown.ends_with("line 2000\n```\nThe end\n[Retry] \n"),
        "{shown}"
    );
}

#[test]
fn everything_fits_at_the_border() {
    for (name, reply) in [
        ("one long line", Reply::text("x".repeat(40_000))),
        (
            "one long word of output",
            Reply::default().with(Block::Code("x".repeat(40_000))),
        ),
        ("many lines", Reply::text("words and more\n".repeat(4000))),
        (
            "many points",
            Reply::default().with(Block::List(
                (0..3000).map(|n| format!("intent_{n}")).collect(),
            )),
        ),
        (
            "many blocks",
            (0..200).fold(Reply::default(), |reply, n| {
                reply.with(Block::Text(format!("block {n}")))
            }),
        ),
        (
            "many outputs",
            (0..30).fold(Reply::default(), |reply, _| {
                reply.with(Block::Code("line\n".repeat(900)))
            }),
        ),
        (
            "exactly a block",
            Reply::text("x".repeat(LONGEST_BLOCK - 1)),
        ),
        ("escapes", Reply::text("<&>".repeat(4000))),
        ("nothing", Reply::default()),
        ("empty text", Reply::text("")),
        (
            "empty output",
            Reply::default().with(Block::Code("\n\n".to_owned())),
        ),
    ] {
        let reply = reply.with(Block::Buttons(
            (0..60).map(|_| button_of(Press::ShowLog)).collect(),
        ));
        let message = Message::of(&reply.about(run()));
        fits(&message);
        assert!(!message.blocks.is_empty(), "{name}");
        let buttons = shown(&message).matches("[ShowLog]").count();
        assert_eq!(buttons, 60, "{name}");
    }
}

#[test]
fn what_is_left_out_is_said() {
    let list = Block::List((0..3000).map(|n| format!("intent_{n}")).collect());
    let reply = Reply::default()
        .about(run())
        .with(list)
        .with(Block::Text("x".to_owned()));
    let shown = shown(&Message::of(&reply));
    assert!(
        shown.ends_with("\n… the rest does not fit here: `/rave show run_01JTEST`\n"),
        "{shown}"
    );
}

#[test]
fn buttons_are_known_again() {
    let buttons: Vec<Button> = Press::ALL.into_iter().map(button_of).collect();
    let blocks = actions(&buttons);
    let elements = blocks[0]["elements"].as_array().unwrap();
    for (element, press) in elements.iter().zip(Press::ALL) {
        let action = element["action_id"].as_str().unwrap();
        let value = element["value"].as_str().unwrap();
        assert!(action.len() <= 255 && value.len() <= 2000);
        assert_eq!(pressed(action, value), Some((press, run())));
    }
    for (action, value) in [
        ("rave.approve.1", "run"),
        ("rave.approve", "run_01JTEST"),
        ("rave.explode.1", "run_01JTEST"),
        ("approve.1", "run_01JTEST"),
        ("", ""),
    ] {
        assert_eq!(pressed(action, value), None, "{action} {value}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(80))]
    #[test]
    fn any_content_fits(text in "(<!here>|<@U1>|`{1,4}|[a-z*_~ \n&]){0,80}", repeat in 1_usize..60) {
        let text = text.repeat(repeat);
        let reply = Reply::text(text.clone())
            .about(run())
            .tone(Tone::Bad)
            .with(Block::Code(text.clone()))
            .with(Block::List(vec![text.clone(), text]));
        let message = Message::of(&reply);
        fits(&message);
        proptest::prop_assert!(!message.text.contains(['<', '>']));
        let _ = shown(&message);
    }
}
