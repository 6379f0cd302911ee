//! Accounts and tokens lead to people.

use rave_domain::people::{Account, Surface};
use rave_policy::{PolicyInput, TokenConfig, Tokens};

use crate::world::*;

fn owner(surface: Surface, account: &str) -> Option<String> {
    let person = people().by_account(&Account::new(surface, account))?;
    Some(person.id.as_str().to_owned())
}

#[test]
fn an_account_leads_to_its_person_on_its_surface_only() {
    assert_eq!(owner(Surface::Mattermost, "u-ann").as_deref(), Some("ann"));
    assert_eq!(owner(Surface::Mattermost, "u-bob2").as_deref(), Some("bob"));
    assert_eq!(owner(Surface::Slack, "u-ann"), None);
    assert_eq!(owner(Surface::Mattermost, "ann"), None);
}

#[test]
fn a_number_in_the_configuration_is_its_digits() {
    let account = "80351110224678912";
    assert_eq!(owner(Surface::Discord, account).as_deref(), Some("ann"));
}

#[test]
fn roles_are_a_list_or_a_comma_list() {
    let policy = policy();
    let bob = person(&policy, "bob");
    let roles: Vec<_> = bob.roles.iter().map(ToString::to_string).collect();
    assert_eq!(roles, ["oncall", "ops"]);
}

#[test]
fn a_token_leads_to_its_person_by_secret_or_by_digest() {
    let digest = rave_domain::Digest::of(b"by-digest");
    let config: Vec<TokenConfig> = serde_json::from_value(serde_json::json!([
        {"name": "ci", "person": "bot", "secret": "by-secret"},
        {"person": "ann", "sha256": digest.to_string()},
    ]))
    .unwrap();
    let policy = rave_policy::Policy::load(PolicyInput {
        tokens: Tokens::load(&config, &people()).unwrap(),
        ..input()
    })
    .unwrap();
    let owner = |token: &str| {
        let subject = policy.authenticate_token(token)?;
        Some((
            subject.person().id.to_string(),
            subject.account().id.clone(),
        ))
    };
    let pair = |person: &str, account: &str| Some((person.to_owned(), account.to_owned()));
    assert_eq!(owner("by-secret"), pair("bot", "ci"));
    assert_eq!(owner("by-digest"), pair("ann", "ann"));
    assert_eq!(owner(&digest.to_string()), None, "a digest is not a token");
    assert_eq!(owner(""), None);
}

#[test]
fn the_configuration_adds_roles_and_owners_to_built_in_robots() {
    let config = serde_json::from_str(
        r#"{"ann": {}, "scheduler": {"roles": "ops", "robot": {"owners": "ann"}}}"#,
    )
    .unwrap();
    let policy = rave_policy::Policy::load(PolicyInput {
        people: rave_policy::People::load(&config).unwrap(),
        ..input()
    })
    .unwrap();
    let who = subject(&policy, "scheduler");
    assert_eq!(
        outcome(&policy, &who, request("rollout_media")),
        "intent-roles"
    );
    let needs = policy.needs([&name("rollout_media")], who.person());
    assert_eq!(needs[0].required, 1, "somebody stands for it now");
}
