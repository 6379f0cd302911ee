use super::*;
use crate::validate;

fn answer(yaml: &str) -> String {
    let answer = validate(yaml, &actions(), "approved-by-gemini");
    serde_json::to_string_pretty(&answer).unwrap()
}

#[test]
fn a_good_intent_is_valid_and_described() {
    insta::assert_snapshot!(answer("action: scale\nstack: stack-ai\nservice: worker\nreplicas: 3\n"), @r#"
        {
          "valid": true,
          "errors": [],
          "warnings": [],
          "intent": {
            "action": "scale",
            "stack": "stack-ai",
            "service": "worker",
            "replicas": 3,
            "label_required": "approved-by-gemini"
          }
        }
        "#);
}

#[test]
fn what_is_not_an_intent_has_errors_only() {
    insta::assert_snapshot!(answer(""), @r#"
        {
          "valid": false,
          "errors": [
            "Empty YAML content"
          ]
        }
        "#);
    insta::assert_snapshot!(answer("a: [1"), @r#"
        {
          "valid": false,
          "errors": [
            "YAML parsing error: line 1, column 4: unclosed bracket '['"
          ]
        }
        "#);
    insta::assert_snapshot!(answer("- a"), @r#"
        {
          "valid": false,
          "errors": [
            "Validation error: line 1, column 1: an intent is a map of keys and values, not a list"
          ]
        }
        "#);
    insta::assert_snapshot!(answer("stack: x"), @r#"
        {
          "valid": false,
          "errors": [
            "Validation error: line 1, column 1: an intent needs `action`; for example `backup`, `rollout` or `scale`"
          ]
        }
        "#);
    insta::assert_snapshot!(answer("action: explode\nstack: x"), @r#"
        {
          "valid": false,
          "errors": [
            "Validation error: line 1, column 9: no driver offers the action `explode`; there are `backup`, `rollout` and `scale`"
          ]
        }
        "#);
}

#[test]
fn missing_fields_are_named_in_the_words_of_the_seed() {
    insta::assert_snapshot!(answer("action: scale\nstack: x\n"), @r#"
        {
          "valid": false,
          "errors": [
            "action=scale requires 'replicas' field",
            "action=scale requires 'service' field"
          ],
          "warnings": [],
          "intent": {
            "action": "scale",
            "stack": "x",
            "service": null,
            "replicas": null,
            "label_required": "approved-by-gemini"
          }
        }
        "#);
}

#[test]
fn unknown_keys_and_other_labels_are_warnings() {
    insta::assert_snapshot!(answer("action: rollout\nstack: x\nserivce: y\nlabel_required: other\n"), @r#"
        {
          "valid": true,
          "errors": [],
          "warnings": [
            "line 3, column 1: neither an intent nor the action `rollout` has the key `serivce`; did you mean `service`?",
            "label_required 'other' differs from server's 'approved-by-gemini'"
          ],
          "intent": {
            "action": "rollout",
            "stack": "x",
            "service": null,
            "replicas": null,
            "label_required": "other"
          }
        }
        "#);
}
