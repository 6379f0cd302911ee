//! Bodies for fuzzers: anything in, no panic. Each reads bytes as its endpoint does, up to where
//! the engine would come in.

use crate::routes::decisions;
use crate::routes::query::Query;
use crate::seed::{AskBody, OrchestrateBody, RunBody, RunNowBody, ValidateBody, intent_name};

/// `POST /run`.
pub fn run_body(bytes: &[u8]) {
    if let Ok(body) = RunBody::parse(bytes) {
        let _ = body.request();
    }
}

/// `POST /schedules/run_now`.
pub fn run_now_body(bytes: &[u8]) {
    if let Ok(body) = RunNowBody::parse(bytes) {
        let _ = RunBody::from(body).request();
    }
}

/// `POST /orchestrate` and `POST /api/v1/runs`.
pub fn orchestrate_body(bytes: &[u8]) {
    let _ = AskBody::parse(bytes);
    if let Ok(body) = OrchestrateBody::parse(bytes) {
        let names = body
            .intents
            .iter()
            .filter_map(|name| intent_name(name).ok());
        let _ = body.request(names.collect());
    }
}

/// `POST /validate`, the intent included.
pub fn validate_body(bytes: &[u8]) {
    if let Ok(body) = ValidateBody::parse(bytes) {
        let _ = rave_catalog::validate(&body.yaml_content, &Default::default(), "approved");
    }
}

/// Decisions on runs.
pub fn decision_body(bytes: &[u8]) {
    let _ = decisions::ReasonBody::parse(bytes);
    let _ = decisions::VerdictBody::parse(bytes);
}

/// Query strings.
pub fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(uri) = format!("/x?{text}").parse::<http::Uri>()
        && let Ok(query) = Query::parse(&uri, &["cursor", "limit"])
    {
        let _ = query.page();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn all(bytes: &[u8]) {
        super::run_body(bytes);
        super::run_now_body(bytes);
        super::orchestrate_body(bytes);
        super::validate_body(bytes);
        super::decision_body(bytes);
        super::query(bytes);
    }

    /// JSON that is close to what the endpoints take.
    fn close() -> impl Strategy<Value = String> {
        let key = prop::sample::select(vec![
            "name",
            "intents",
            "intent",
            "dry_run",
            "wait",
            "arguments",
            "yaml_content",
            "reason",
            "verdict",
            "unwind",
            "parallel",
            "dryrun",
            "",
        ]);
        let value = prop_oneof![
            "[a-z_./]{0,12}".prop_map(|text| format!("{text:?}")),
            any::<f64>().prop_map(|number| number.to_string()),
            prop::sample::select(vec![
                "true",
                "null",
                "[]",
                "{}",
                "[\"a\",\"../b\"]",
                "{\"k\":[1,\"x\",null]}",
                "1e999",
                "-0",
                "\"action: scale\\nstack: x\"",
                "\"\\ud800\"",
                "[[[]]]",
            ])
            .prop_map(str::to_owned),
        ];
        prop::collection::vec((key, value), 0..6).prop_map(|pairs| {
            let pairs: Vec<String> = pairs
                .into_iter()
                .map(|(key, value)| format!("{key:?}: {value}"))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn no_bytes_bring_an_endpoint_down(bytes: Vec<u8>) {
            all(&bytes);
        }

        #[test]
        fn no_json_brings_an_endpoint_down(text in close()) {
            all(text.as_bytes());
        }
    }

    #[test]
    fn deep_nesting_is_an_error() {
        all(&b"[".repeat(500_000));
        all(&[b"{\"arguments\":".repeat(100_000), b"1".to_vec()].concat());
    }
}
