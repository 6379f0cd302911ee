//! The gates between policy and plan: the label and the freeze.

use rave_domain::error::ErrorCode;
use rave_domain::ids::{IntentName, Target};
use rave_domain::ports::store::Freeze;

use crate::authorized::Denial;

/// Refuses an intent whose `label_required` is not the approved label. An intent without one
/// passes.
///
/// # Errors
/// The seed's text, and which labels differ as the hint.
pub fn label_gate(
    intent: &IntentName,
    required: Option<&str>,
    approved: &str,
) -> Result<(), Denial> {
    match required {
        Some(label) if label != approved => Err(Denial {
            code: ErrorCode::LabelMismatch,
            rule: "label".to_owned(),
            because: "Label requirement mismatch".to_owned(),
            nearest_yes: Some(format!(
                "{intent} requires the label {label:?} and the approved label is {approved:?}"
            )),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses an intent or target that is frozen. A scope is `*`, an intent's name, or `kind/name` of
/// a target.
///
/// # Errors
/// Who froze it and why.
pub fn freeze_gate(
    freezes: &[Freeze],
    intent: &IntentName,
    target: Option<&Target>,
) -> Result<(), Denial> {
    let hit = freezes.iter().find(|freeze| {
        freeze.scope == "*"
            || freeze.scope == intent.as_str()
            || target.is_some_and(|target| names(&freeze.scope, target))
    });
    let Some(freeze) = hit else { return Ok(()) };
    let scope = if freeze.scope == "*" {
        "everything"
    } else {
        &freeze.scope
    };
    let reason = if freeze.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", freeze.reason)
    };
    Err(Denial {
        code: ErrorCode::Frozen,
        rule: format!("freeze {}", freeze.scope),
        because: format!("{} froze {scope}{reason}", freeze.by),
        nearest_yes: Some(format!("wait for `unfreeze {}`", freeze.scope)),
    })
}

/// Whether a scope is a target as it is written, without writing it.
fn names(scope: &str, target: &Target) -> bool {
    let name = scope
        .strip_prefix(target.kind.as_str())
        .and_then(|rest| rest.strip_prefix('/'));
    name == Some(target.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> IntentName {
        IntentName::new("vm.start").unwrap()
    }

    #[test]
    fn a_label_other_than_the_approved_one_is_refused_in_the_seeds_words() {
        assert_eq!(label_gate(&name(), None, "yes"), Ok(()));
        assert_eq!(label_gate(&name(), Some("yes"), "yes"), Ok(()));
        let denial = label_gate(&name(), Some("no"), "yes").unwrap_err();
        assert_eq!(denial.code, ErrorCode::LabelMismatch);
        assert_eq!(denial.to_string(), "Label requirement mismatch");
    }

    #[test]
    fn a_freeze_covers_its_scope_and_nothing_else() {
        let target = Target::new("stack", "media");
        let frozen = |scope: &str| {
            let freeze = Freeze {
                scope: scope.to_owned(),
                by: "ann".parse().unwrap(),
                reason: "release day".to_owned(),
                since: "2026-01-01T00:00:00Z".parse().unwrap(),
            };
            freeze_gate(&[freeze], &name(), Some(&target)).err()
        };
        assert_eq!(frozen("vm.stop"), None);
        assert_eq!(frozen("stack/mediator"), None);
        assert_eq!(frozen("vm"), None);
        for scope in ["*", "vm.start", "stack/media"] {
            assert_eq!(frozen(scope).unwrap().code, ErrorCode::Frozen, "{scope}");
        }
        assert_eq!(
            frozen("*").unwrap().because,
            "ann froze everything: release day"
        );
    }
}
