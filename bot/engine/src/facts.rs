//! What policy needs to know of the catalog's intents.

use std::collections::BTreeMap;

use rave_catalog::{Catalog, Intent, ParamKind};
use rave_domain::ids::Target;
use rave_domain::ports::driver::FieldKind;
use rave_domain::value::Value;
use rave_policy::{ArgumentKind, IntentFacts};

/// The facts of all intents, for [`rave_policy::Policy::load`].
#[must_use]
pub fn intent_facts(catalog: &Catalog) -> Vec<IntentFacts> {
    catalog.iter().map(|intent| facts(intent)).collect()
}

fn facts(intent: &Intent) -> IntentFacts {
    let constant = |field: &str| intent.literal(field).and_then(Value::plain);
    IntentFacts {
        name: intent.name.clone(),
        action: intent.action.name.clone(),
        stack: constant("stack"),
        target: constant(&intent.action.target_field)
            .map(|name| Target::new(intent.action.target_kind.clone(), name)),
        roles: intent.roles.clone(),
        approval: intent.approval.clone(),
        arguments: arguments(intent),
    }
}

/// Everything that conditions may look at: parameters and action fields. A field wins over a
/// parameter of the same name, as it does when arguments are bound.
fn arguments(intent: &Intent) -> BTreeMap<String, ArgumentKind> {
    let params = intent.params.iter().filter_map(|param| {
        let kind = match &param.kind {
            ParamKind::Int { .. } => ArgumentKind::Int,
            ParamKind::Bool => ArgumentKind::Bool,
            ParamKind::List { .. } | ParamKind::Map => ArgumentKind::List,
            ParamKind::String { .. }
            | ParamKind::Enum { .. }
            | ParamKind::Duration
            | ParamKind::Slug
            | ParamKind::Email
            | ParamKind::Host => ArgumentKind::Text,
            ParamKind::File | ParamKind::Secret => return None,
        };
        Some((param.name.clone(), kind))
    });
    let secret = |field: &str| {
        intent.fields.get(field).is_some_and(|template| {
            template.params().any(|name| {
                intent
                    .param(name)
                    .is_some_and(|param| matches!(param.kind, ParamKind::Secret | ParamKind::File))
            })
        })
    };
    let fields = intent
        .action
        .fields
        .iter()
        .filter(|field| intent.fields.contains_key(&field.name) && !secret(&field.name))
        .map(|field| {
            let kind = match field.kind {
                FieldKind::Text => ArgumentKind::Text,
                FieldKind::Int { .. } => ArgumentKind::Int,
                FieldKind::Bool => ArgumentKind::Bool,
                FieldKind::List => ArgumentKind::List,
            };
            (field.name.clone(), kind)
        });
    params.chain(fields).collect()
}
