//! The value of a secret parameter is nowhere but with the driver.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rave_tests::{Bot, World};
use secrecy::ExposeSecret as _;

const SECRET: &str = "correct+horse/battery:staple&42";

const INTENT: &str = "description: Set a password\naction: fake.idempotent\n\
    params:\n  password: {type: secret}\n\
    with: {stack: vault, token: '{{ password }}'}\nroles: [ops]\n\
    approval: {required: 1, from: [ops]}\n";

#[tokio::test]
async fn a_secret_leaves_no_trace_even_when_the_driver_prints_it() {
    let mut bot = World::new().intent("set_password", INTENT).start().await;
    bot.stacks().prints_with("set_password", |secrets| {
        let secret = secrets["token"].expose_secret().to_owned();
        assert_eq!(secret, SECRET);
        let padding = "lines of output that make a chunk file\n".repeat(400);
        let encoded = STANDARD.encode(format!("user:{secret}"));
        let escaped: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let text = format!("{padding}plain {secret}\nbase64 {encoded}\nurl {escaped}\ndone\n");
        // Cut where it hurts: every few bytes.
        text.into_bytes().chunks(7).map(<[u8]>::to_vec).collect()
    });
    let mut said = vec![
        bot.says(
            "ann",
            &format!("/rave plan set_password password='{SECRET}'"),
        )
        .await,
    ];
    said.push(
        bot.says("ann", &format!("/rave set_password password='{SECRET}'"))
            .await,
    );
    assert!(said[1].contains("awaits approval"), "{}", said[1]);
    assert!(bot.dump().contains("secrets run_"), "nothing is sealed");
    bot.crash().await;
    said.push(bot.says("bob", "/rave approve run_0001").await);
    said.push(bot.hears().await);
    said.push(bot.hears().await);
    said.push(bot.says("ann", "/rave show run_0001").await);
    said.push(bot.says("ann", "/rave logs run_0001").await);
    let api = bot.api().with_key("token-of-ann");
    said.push(api.get("/api/v1/runs/run_0001").await.text);
    let events = api.get("/api/v1/runs/run_0001/events").await.text;
    assert!(events.contains("reported"), "{events}");
    said.push(events);
    let output = api.get("/api/v1/runs/run_0001/steps/1/output").await.text;
    assert!(output.contains("plain ••••"), "{output}");
    assert!(output.ends_with("done\n"), "{output}");
    said.push(output);
    assert!(
        !bot.dump().contains("secrets run_"),
        "the secret is still kept"
    );
    said.push(serde_json::to_string(&bot.audit().await).unwrap());
    bot.delivers_all().await;
    for embed in bot.discord().embeds() {
        said.push(embed.description);
    }
    said.push(bot.log());
    for text in &said {
        clean("said", text.as_bytes());
    }
    bot.stop().await;
    nothing_on_disk(&bot);
    bot.start_again().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_secret_over_the_api_is_not_kept_either() {
    let mut bot = World::new()
        .intent(
            "set_password",
            &INTENT.replace("approval: {required: 1, from: [ops]}\n", ""),
        )
        .start()
        .await;
    let api = bot.api().with_key("token-of-ann");
    let body = serde_json::json!({"intents": ["set_password"], "arguments": {"password": SECRET}, "wait": 10});
    let answer = api.post("/api/v1/runs", &body).await;
    assert_eq!(answer.body["state"], "succeeded", "{}", answer.text);
    clean("answer", answer.text.as_bytes());
    clean("log", bot.log().as_bytes());
    bot.delivers_all().await;
    bot.stop().await;
    nothing_on_disk(&bot);
    bot.start_again().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_secret_under_the_other_spelling_of_its_name_is_a_secret_too() {
    let intent = INTENT
        .replace("approval: {required: 1, from: [ops]}\n", "")
        .replace("password", "db_password");
    let mut bot = World::new().intent("set_password", &intent).start().await;
    let api = bot.api().with_key("token-of-ann");
    for intent in ["set_password", "set_pasword"] {
        let body = serde_json::json!({"intents": [intent], "arguments": {"db-password": SECRET}, "wait": 10});
        let answer = api.post("/api/v1/runs", &body).await;
        clean("answer", answer.text.as_bytes());
    }
    assert_eq!(bot.stacks().effects().len(), 1);
    clean("log", bot.log().as_bytes());
    bot.delivers_all().await;
    bot.stop().await;
    nothing_on_disk(&bot);
    bot.start_again().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_secret_that_is_refused_is_not_repeated() {
    let mut bot = World::new().intent("set_password", INTENT).start().await;
    let refused = bot
        .says(
            "ann",
            &format!("/rave set_password password='{SECRET}\u{7}'"),
        )
        .await;
    let denied = bot
        .says("cem", "/rave set_password password='correct+'")
        .await;
    let twice = bot
        .says(
            "ann",
            &format!("/rave set_password password='{SECRET}' password=x extra='{SECRET}'"),
        )
        .await;
    let typo = bot
        .says("ann", &format!("/rave set_pasword password='{SECRET}'"))
        .await;
    for text in [
        refused,
        denied,
        twice,
        typo,
        bot.log(),
        serde_json::to_string(&bot.audit().await).unwrap(),
    ] {
        clean("said", text.as_bytes());
    }
    bot.stop().await;
    nothing_on_disk(&bot);
    bot.start_again().await;
    bot.finish().await;
}

/// Every form in which somebody could read the secret back.
fn forms() -> Vec<String> {
    let encoded = STANDARD.encode(SECRET);
    let prefixed = STANDARD.encode(format!("user:{SECRET}"));
    vec![
        SECRET.to_owned(),
        url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect(),
        encoded.trim_end_matches('=').to_owned(),
        // The part that depends on the secret alone.
        prefixed[8..prefixed.len() - 4].to_owned(),
    ]
}

fn clean(place: &str, bytes: &[u8]) {
    for form in forms() {
        let found = bytes
            .windows(form.len())
            .position(|window| window == form.as_bytes());
        if let Some(at) = found {
            let from = at.saturating_sub(200);
            panic!(
                "{form} stands in {place}: {}",
                String::from_utf8_lossy(&bytes[from..at + form.len()])
            );
        }
    }
}

fn nothing_on_disk(bot: &Bot) {
    fn visit(folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path);
            } else {
                clean(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }
    visit(&bot.data());
}
