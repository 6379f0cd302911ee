use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::*;

const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz";
const FORM: &str = "application/x-www-form-urlencoded";

fn surface() -> SlashCommand {
    let tokens = ["old-token".into(), SecretString::from(TOKEN)];
    SlashCommand::new(
        &tokens,
        Some(Base::parse("url", "https://chat.example.com").unwrap()),
        None,
        None,
    )
}

fn request(content_type: Option<&'static str>, body: &str) -> RawRequest {
    let mut headers = HeaderMap::new();
    if let Some(kind) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    RawRequest {
        headers,
        body: Bytes::from(body.to_owned()),
    }
}

fn verify(body: &str) -> Result<VerifiedEvent, SurfaceRejection> {
    event(surface().verify(&request(Some(FORM), body), Timestamp::UNIX_EPOCH))
}

fn event(incoming: Result<Incoming, SurfaceRejection>) -> Result<VerifiedEvent, SurfaceRejection> {
    incoming.map(|incoming| match incoming {
        Incoming::Event(event) => *event,
        Incoming::Answered(answer) => panic!("answered {answer:?}"),
    })
}

fn text(event: &VerifiedEvent) -> &str {
    let Act::Command { text } = &event.act else {
        panic!("{:?}", event.act)
    };
    text
}

/// As Mattermost 11 sends it, mentions included.
fn complete() -> String {
    format!(
        "channel_id=c1&channel_name=ops&command=%2Frave&response_url=https%3A%2F%2Fchat.example.com\
         %2Fhooks%2Fcommands%2Fw1&root_id=&team_domain=acme&team_id=t1&text=rollout+media%0Atag%3D1+\
         &token={TOKEN}&trigger_id=trig1&user_id=u-ann&user_name=bob&user_mentions=bob\
         &user_mentions_ids=u-bob&user_mentions=eve&user_mentions_ids=u-eve"
    )
}

#[test]
fn a_command_says_who_what_and_where_to() {
    let event = verify(&complete()).unwrap();
    assert_eq!(event.event_id, "trig1");
    assert_eq!(event.account, Account::new(Surface::Mattermost, "u-ann"));
    assert_eq!(event.strength, Strength::Token);
    assert_eq!(text(&event), "rollout media\ntag=1 ");
    assert_eq!(event.place.channel, "c1");
    let reply_to = event.reply_to.unwrap();
    assert_eq!(reply_to.courier, "mattermost.response_url");
    assert_eq!(
        reply_to.address["url"],
        "https://chat.example.com/hooks/commands/w1"
    );
    assert_eq!(reply_to.expires, "1970-01-01T00:30:00Z".parse().unwrap());
    assert_eq!(reply_to.uses, 5);
}

#[test]
fn only_a_known_token_proves_the_sender() {
    let ids = "trigger_id=x&user_id=u";
    for (content_type, header, body, authentic) in [
        (Some(FORM), None, format!("{ids}&token={TOKEN}"), true),
        (Some(FORM), None, format!("{ids}&token=old-token"), true),
        (
            Some("application/x-www-form-urlencoded; charset=utf-8"),
            None,
            format!("{ids}&token={TOKEN}"),
            true,
        ),
        (
            Some(FORM),
            Some("Token abcdefghijklmnopqrstuvwxyz"),
            ids.to_owned(),
            true,
        ),
        (
            Some(FORM),
            Some("token abcdefghijklmnopqrstuvwxyz"),
            ids.to_owned(),
            true,
        ),
        // An OAuth connection takes the header; the body still has the token.
        (
            Some(FORM),
            Some("Bearer oauth"),
            format!("{ids}&token={TOKEN}"),
            true,
        ),
        (
            Some(FORM),
            Some("Bearer abcdefghijklmnopqrstuvwxyz"),
            ids.to_owned(),
            false,
        ),
        (Some(FORM), Some("Token wrong"), ids.to_owned(), false),
        (Some(FORM), None, ids.to_owned(), false),
        (Some(FORM), None, format!("{ids}&token="), false),
        (
            Some(FORM),
            None,
            format!("{ids}&token={}", TOKEN.to_uppercase()),
            false,
        ),
        (Some(FORM), None, format!("{ids}&token={TOKEN}%00"), false),
        (Some(FORM), None, String::new(), false),
        (
            Some("application/json"),
            None,
            format!("{{\"token\":\"{TOKEN}\"}}"),
            false,
        ),
        (None, None, format!("{ids}&token={TOKEN}"), false),
    ] {
        let mut request = request(content_type, &body);
        if let Some(header) = header {
            request
                .headers
                .insert(AUTHORIZATION, HeaderValue::from_static(header));
        }
        let verdict = surface().verify(&request, Timestamp::UNIX_EPOCH);
        let refused = matches!(verdict, Err(SurfaceRejection::NotAuthentic { .. }));
        assert_eq!(
            refused, !authentic,
            "{content_type:?} {header:?} {body} {verdict:?}"
        );
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    for (body, says) in [
        (format!("token={TOKEN}&user_id=u"), "trigger_id is missing"),
        (
            format!("token={TOKEN}&user_id=u&trigger_id="),
            "trigger_id is missing",
        ),
        (format!("token={TOKEN}&trigger_id=t"), "user_id is missing"),
        (
            format!("token={TOKEN}&trigger_id=t&user_id=u&user_id=v"),
            "user_id is there more than once",
        ),
        (
            format!("token={TOKEN}&trigger_id=t&user_id=u&text=a&text=b"),
            "text is there more than once",
        ),
        (
            format!("token={TOKEN}&trigger_id=t&user_id=u%0av"),
            "user_id is not an id",
        ),
        (
            format!("token={TOKEN}&user_id=u&trigger_id={}", "t".repeat(1025)),
            "trigger_id is not an id",
        ),
    ] {
        let error = verify(&body).unwrap_err();
        assert_eq!(error, malformed(says), "{body}");
        let answer = surface().refuse(&error);
        assert_eq!(answer.status, 200);
        assert!(String::from_utf8_lossy(&answer.body).contains(says));
    }
    let mut json = request(Some("application/json"), "{}");
    let header = HeaderValue::from_static("Token abcdefghijklmnopqrstuvwxyz");
    json.headers.insert(AUTHORIZATION, header);
    let error = surface().verify(&json, Timestamp::UNIX_EPOCH).unwrap_err();
    assert!(error.to_string().contains("expected a form"), "{error}");
}

#[test]
fn results_go_to_the_configured_server_only() {
    let ids = format!("token={TOKEN}&trigger_id=t&user_id=u");
    for (url, used) in [
        ("https://chat.example.com/hooks/commands/x", true),
        ("https://evil.example/hooks/commands/x", false),
        ("http://169.254.169.254/", false),
        ("", false),
        ("not a url", false),
    ] {
        let event = verify(&format!("{ids}&response_url={url}")).unwrap();
        assert_eq!(event.reply_to.is_some(), used, "{url}");
    }
    let without_url = SlashCommand::new(&[SecretString::from(TOKEN)], None, None, None);
    let body = format!("{ids}&response_url=https://chat.example.com/x");
    let incoming = without_url.verify(&request(Some(FORM), &body), Timestamp::UNIX_EPOCH);
    assert_eq!(event(incoming).unwrap().reply_to, None);
}

#[test]
fn with_a_bot_results_go_into_the_thread() {
    let base = || Base::parse("url", "https://chat.example.com").unwrap();
    let client = crate::http_client().unwrap();
    let bot = Arc::new(Bot::new(base(), client, "b0t".into()));
    let forms = Arc::new(Forms::new(Arc::clone(&bot), crate::script::callbacks()));
    let tokens = [SecretString::from(TOKEN)];
    let surface = SlashCommand::new(&tokens, Some(base()), Some(bot), Some(forms));
    let verify =
        |body: &str| event(surface.verify(&request(Some(FORM), body), Timestamp::UNIX_EPOCH));

    let event = verify(&complete().replace("root_id=", "root_id=r1")).unwrap();
    assert_eq!(event.form_ticket.as_deref(), Some("trig1"));
    let reply_to = event.reply_to.unwrap();
    assert_eq!(reply_to.courier, "mattermost");
    assert_eq!(
        reply_to.live,
        Some(rave_domain::ports::surface::LiveStart::Post)
    );
    assert_eq!(
        reply_to.address,
        serde_json::json!({
            "channel": "c1", "root": "r1", "user": "u-ann", "asked": 0,
            "response": {"url": "https://chat.example.com/hooks/commands/w1", "expires": 1_800_000},
        })
    );

    let event = verify(&complete()).unwrap();
    assert_eq!(event.reply_to.unwrap().address.get("root"), None);
    let nowhere = complete().replace("channel_id=c1", "channel_id=");
    assert_eq!(
        verify(&nowhere).unwrap_err(),
        malformed("channel_id is missing")
    );
}

#[test]
fn answers_are_exactly_what_mattermost_shows() {
    let reply = Reply::text("Nothing runs").to_conversation();
    let answer = surface().answer(ActKind::Command, &reply);
    assert_eq!(
        (answer.status, answer.content_type),
        (200, "application/json")
    );
    insta::assert_snapshot!(
        String::from_utf8_lossy(&answer.body),
        @r#"{"response_type":"in_channel","text":"Nothing runs","skip_slack_parsing":true}"#
    );
    let refusal = surface().refuse(&SurfaceRejection::NotAuthentic { why: "wrong token" });
    assert_eq!(refusal.status, 401);
    insta::assert_snapshot!(
        String::from_utf8_lossy(&refusal.body),
        @r#"{"detail":"Unauthorized","code":"unauthorized"}"#
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]
    #[test]
    fn no_body_brings_it_down(body: Vec<u8>, authentic: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
        let mut whole = if authentic { format!("token={TOKEN}&").into_bytes() } else { Vec::new() };
        whole.extend(body);
        let request = RawRequest { headers, body: whole.into() };
        let _ = surface().verify(&request, Timestamp::UNIX_EPOCH);
    }
}
