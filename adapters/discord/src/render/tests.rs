use rave_domain::callback::CallbackSeal;
use rave_domain::ids::RunId;
use serde_json::{Value, json};

use super::*;

fn seals() -> Seals {
    let seal = CallbackSeal::new(&[9; 32], |bytes| {
        bytes.fill(7);
        Ok(())
    });
    Seals::new(seal, "1".parse().unwrap())
}

fn rendered(reply: &Reply) -> Value {
    let edit = Rendered::of(reply, &seals(), Timestamp::UNIX_EPOCH).edit();
    serde_json::to_value(edit).unwrap()
}

fn content(block: Block) -> String {
    let shown = rendered(&Reply::default().with(block));
    assert_eq!(shown["embeds"], json!([]));
    shown["content"].as_str().unwrap().replace('\u{200b}', "·")
}

fn run() -> RunId {
    RunId::new("run_0001").unwrap()
}

#[test]
fn text_stays_plain() {
    for (text, shown) in [
        ("rollout_stack_media is fine", "rollout_stack_media is fine"),
        (
            "_a_ *b* ~~c~~ ||d|| `",
            r"\_a\_ \*b\* \~\~c\~\~ \|\|d\|\| \`",
        ),
        ("see `/rave logs run_1`", "see `/rave logs run_1`"),
        ("[x](https://e.example)", r"\[x\](https://e.example)"),
        ("<@1> <#2> <t:1:R> <:e:3>", r"\<@·1> \<#2> \<t:1:R> \<:e:3>"),
        (
            "@everyone @here ann@example.com",
            "@·everyone @·here ann@example.com",
        ),
        ("# heading", r"\# heading"),
        ("-# small", r"\-# small"),
        (" > quote", r" \> quote"),
        ("- item\n* item", "\\- item\n\\* item"),
        ("1. item, 2.5", r"1\. item, 2.5"),
        ("a - b # c > d", "a - b # c > d"),
        ("back\\slash", r"back\\slash"),
        ("\u{1b}[31mred", r"red"),
    ] {
        assert_eq!(content(Block::Text(text.to_owned())), shown, "{text:?}");
    }
    assert_eq!(content(Block::Heading("a\n# b".to_owned())), "**a # b**");
}

#[test]
fn output_cannot_leave_its_block() {
    for (code, shown) in [
        ("x", "```\nx\n```"),
        ("rust\nfn", "```\nrust\nfn\n```"),
        ("a```b", "```\na`·``b\n```"),
        ("`````", "```\n`·``·``\n```"),
        ("@everyone *x*", "```\n@everyone *x*\n```"),
        ("\n\nx\n", "```\nx\n```"),
        ("\u{1b}[2Jx", "```\nx\n```"),
        ("  \n", ""),
    ] {
        let text = content(Block::Code(code.to_owned()));
        assert_eq!(text, shown, "{code:?}");
        let ends = text.matches("```").count();
        assert!(ends == 2 || text.is_empty(), "{text}");
    }
}

#[test]
fn a_run_reads_well() {
    let step = |number: u32, state: &str, note: &str| StepLine {
        number,
        title: "rollout_stack_media".to_owned(),
        state: state.to_owned(),
        note: note.to_owned(),
    };
    let reply = Reply::default()
        .about(run())
        .tone(Tone::Bad)
        .with(Block::Heading("run_0001: media failed.".to_owned()))
        .with(Block::Steps(vec![
            step(1, "succeeded", "2.0 s"),
            step(2, "failed", ""),
        ]))
        .with(Block::Fields(vec![(
            "Touches".to_owned(),
            "stack/media".to_owned(),
        )]))
        .with(Block::List(vec!["a_b_".to_owned()]))
        .with(Block::Code("no such service".to_owned()));
    let shown = rendered(&reply);
    insta::assert_snapshot!(shown["content"].as_str().unwrap(), @r"
    ❌ **run_0001: media failed.**

    1. `rollout_stack_media`: **succeeded**, 2.0 s
    2. `rollout_stack_media`: **failed**

    - **Touches:** stack/media

    - a_b\_

    ```
    no such service
    ```
    ");
    assert_eq!(shown["allowed_mentions"]["parse"], json!([]));
    assert_eq!(shown["flags"], 4);
}

#[test]
fn buttons_stand_five_in_a_row() {
    let presses = [
        Press::Approve,
        Press::Deny,
        Press::Cancel,
        Press::Retry,
        Press::ShowLog,
        Press::Approve,
    ];
    let buttons = presses.map(|press| Button {
        label: "l".repeat(81),
        press,
        run: run(),
    });
    let shown = rendered(&Reply::default().with(Block::Buttons(buttons.to_vec())));
    let rows = shown["components"].as_array().unwrap();
    let counts: Vec<usize> = rows
        .iter()
        .map(|row| row["components"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [5, 1]);
    let styles: Vec<u64> = rows[0]["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|button| button["style"].as_u64().unwrap())
        .collect();
    assert_eq!(styles, [3, 4, 2, 1, 2]);
    let first = &rows[0]["components"][0];
    assert_eq!(first["type"], 2);
    assert_eq!(first["label"].as_str().unwrap().len(), 80);
    assert!(first["custom_id"].as_str().unwrap().len() <= 100);
    assert_eq!(shown["content"], "");
}

#[test]
fn without_random_bytes_people_type_what_buttons_would_do() {
    let seal = CallbackSeal::new(&[9; 32], |_| Err("none".to_owned()));
    let seals = Seals::new(seal, "1".parse().unwrap());
    let button = Button {
        label: "Approve".to_owned(),
        press: Press::Approve,
        run: run(),
    };
    let reply = Reply::default().with(Block::Buttons(vec![button]));
    let edit = Rendered::of(&reply, &seals, Timestamp::UNIX_EPOCH).edit();
    let shown = serde_json::to_value(edit).unwrap();
    assert_eq!(shown["content"], "Approve: `/rave approve run_0001`");
    assert_eq!(shown["components"], json!([]));
}

#[test]
fn what_fits_is_content_and_what_does_not_is_an_embed_that_fits() {
    let text = |n: usize| Reply::text("x".repeat(n)).about(run());
    let at_limit = rendered(&text(2000));
    assert_eq!(at_limit["content"].as_str().unwrap().len(), 2000);
    assert_eq!(
        (&at_limit["embeds"], &at_limit["flags"]),
        (&json!([]), &json!(4))
    );
    let over = rendered(&text(2001));
    assert_eq!((&over["content"], &over["flags"]), (&json!(""), &json!(0)));
    assert_eq!(
        over["embeds"][0]["description"].as_str().unwrap().len(),
        2001
    );
    for reply in [
        text(5000),
        Reply::text("😀".repeat(3000)).about(run()),
        Reply::text("*".repeat(4000)).about(run()),
        Reply::text("head")
            .about(run())
            .with(Block::Code("line\n".repeat(2000))),
        Reply::text("head")
            .about(run())
            .with(Block::Code("l".repeat(9000))),
        Reply::text("head")
            .about(run())
            .with(Block::Code("😀".repeat(9000))),
        Reply::default().with(Block::List(vec!["item".to_owned(); 2000])),
        (0..40).fold(Reply::default().about(run()), |reply, n| {
            reply
                .with(Block::Code(format!("{n}\n").repeat(500)))
                .with(Block::Text("y".repeat(50)))
        }),
    ] {
        let shown = rendered(&reply);
        let description = shown["embeds"][0]["description"].as_str().unwrap();
        assert!(
            length(description) <= EMBED_LIMIT,
            "{}",
            length(description)
        );
        assert!(length(description) > 2000, "{description}");
        assert_eq!(description.matches("```").count() % 2, 0);
        let says = description.contains("… ") || description.contains("…l");
        assert!(says || description.contains('…'), "{description}");
    }
    let cut = rendered(
        &Reply::text("head")
            .about(run())
            .with(Block::Code("line\n".repeat(2000))),
    );
    let description = cut["embeds"][0]["description"].as_str().unwrap();
    assert!(
        description.contains("more: `/rave logs run_0001`\n```\nline"),
        "{description}"
    );
}

#[test]
fn a_message_comes_once_and_a_follow_up_for_whom_it_is() {
    let of = || Rendered::of(&Reply::text("x"), &seals(), Timestamp::UNIX_EPOCH);
    let message = serde_json::to_value(of().message("n".repeat(24))).unwrap();
    assert_eq!(message["nonce"], "n".repeat(24));
    assert_eq!(message["enforce_nonce"], true);
    assert_eq!(message["allowed_mentions"]["parse"], json!([]));
    let alone = serde_json::to_value(of().follow_up(Seen::Alone)).unwrap();
    assert_eq!(
        (&alone["flags"], &alone["content"]),
        (&json!(68), &json!("x"))
    );
}
