//! The command lines that RAVE's README prints, against intents that declare them.

use rave_domain::request::{Ask, Change, RunRequest};

use super::*;
use crate::grammar;

/// Intents for the commands of the company's VMs, users, secrets and certificates. The driver
/// that performs them is not part of this test, so its action takes any of their parameters.
const INTENTS: &[(&str, &str, &str)] = &[
    (
        "vm/create",
        "vm create <company>",
        "company: slug, keypair: file",
    ),
    ("vm/start", "vm start <company>", "company: slug"),
    ("vm/stop", "vm stop <company>", "company: slug"),
    (
        "vm/status",
        "vm status [company]",
        "company: slug, all: bool",
    ),
    ("vm/reset", "vm reset <company>", "company: slug"),
    ("vm/ssh", "vm ssh <company>", "company: slug"),
    (
        "vm/logs",
        "vm logs <company> [service]",
        "company: slug, service: string, follow: {type: bool, short: f}, tail: {type: int, min: 1, default: 50, short: t}, since: {type: string, required: false, short: s}, all: bool",
    ),
    (
        "user/add",
        "user add <email>",
        "email: email, oauth-id: string, access: {type: enum, values: [admin, developer, guest], default: developer}, company: {type: slug, required: false}, name: {type: string, required: false}, metadata: {type: map, required: false}",
    ),
    ("user/remove", "user remove <email>", "email: email"),
    (
        "user/list",
        "user list",
        "company: {type: slug, required: false}",
    ),
    (
        "user/config",
        "user config <email>",
        "email: email, access: {type: enum, values: [admin, developer, guest]}",
    ),
    ("user/show", "user show <email>", "email: email"),
    (
        "user/bulk-add",
        "user bulk-add <file>",
        "file: file, company: {type: slug, required: false}, metadata: {type: map, required: false}, verbose: bool",
    ),
    ("user/activity", "user activity <email>", "email: email"),
    (
        "user/permissions",
        "user permissions <email>",
        "email: email",
    ),
    ("user/sync", "user sync <company>", "company: slug"),
    (
        "user/export",
        "user export",
        "format: {type: enum, values: [json, csv], default: json}, company: {type: slug, required: false}",
    ),
    ("oauth/status", "oauth status [service]", "service: slug"),
    (
        "oauth/config",
        "oauth config <service>",
        "service: slug, client-id: string, client-secret: secret",
    ),
    (
        "secrets/init",
        "secrets init",
        "key-file: {type: string, required: false}, secrets-file: {type: string, required: false}",
    ),
    (
        "secrets/install",
        "secrets install <company>",
        "company: slug, key-file: {type: file, required: false}, remote-path: {type: string, required: false}, secrets-file: {type: file, required: false}",
    ),
    ("tls/bootstrap", "tls bootstrap", ""),
    (
        "tls/issue",
        "tls issue <company>",
        "company: slug, domain: {type: list, required: false}",
    ),
    ("prerequisites", "prerequisites", ""),
];

fn rave() -> Catalog {
    let names = [
        "company",
        "keypair",
        "all",
        "service",
        "follow",
        "tail",
        "since",
        "email",
        "oauth-id",
        "access",
        "name",
        "metadata",
        "file",
        "verbose",
        "format",
        "client-id",
        "client-secret",
        "key-file",
        "secrets-file",
        "remote-path",
        "domain",
    ];
    let fields: Vec<(&str, FieldKind)> =
        names.iter().map(|name| (*name, FieldKind::Text)).collect();
    let actions = Actions::from([action("company", "company", "company", &fields)]);
    let files: Vec<SourceFile> = INTENTS
        .iter()
        .map(|(path, command, params)| {
            let used = names
                .iter()
                .filter(|name| format!(", {params}").contains(&format!(", {name}:")));
            let with: Vec<String> = used
                .map(|name| format!("{name}: '{{{{ {name} }}}}'"))
                .collect();
            let text = format!(
                "action: company\ncommand: {command}\nparams: {{{params}}}\nwith: {{{}}}\n",
                with.join(", ")
            );
            SourceFile::intent(format!("{path}.yaml"), text)
        })
        .collect();
    match Catalog::load(&files, None, &actions, &Settings::default()) {
        Ok(catalog) => catalog,
        Err(found) => panic!("{found}"),
    }
}

fn request(catalog: &Catalog, line: &str) -> RunRequest {
    match grammar::parse(catalog, line) {
        Ok(Ask::Change(Change::Run(request))) => request,
        other => panic!("{line} gave {other:?}"),
    }
}

#[test]
fn every_printed_command_line_parses_and_binds() {
    let catalog = rave();
    for line in [
        "vm create acme-corp --keypair ~/.ssh/id",
        "vm create acme-corp --keypair ~/.ssh/id_ed25519",
        "vm start acme-corp",
        "vm stop acme-corp",
        "vm status",
        "vm status acme-corp",
        "vm status --all",
        "vm reset acme-corp",
        "vm ssh acme-corp",
        "vm logs acme-corp",
        "vm logs acme-corp nginx -f",
        "vm logs acme-corp nginx --follow",
        "vm logs acme-corp mattermost --tail 100",
        "vm logs acme-corp -t 100 -s '1 hour ago'",
        "vm logs acme-corp --all --since yesterday",
        "user add ann@acme.com --oauth-id 12345 --access developer --company acme-corp",
        "user add ann@acme.com --oauth-id 12345 --name 'Ann Lee' --metadata team=core,site=berlin",
        "user add ann@acme.com --oauth-id 12345 --metadata '{\"team\": \"core\"}'",
        "user remove ann@acme.com",
        "user list",
        "user list --company acme-corp",
        "user config ann@acme.com --access admin",
        "user show ann@acme.com",
        "user bulk-add users.csv --company acme",
        "user bulk-add users.json --metadata team=core --verbose",
        "user activity ann@acme.com",
        "user permissions ann@acme.com",
        "user sync acme-corp",
        "user export --format csv --company acme-corp",
        "oauth status",
        "oauth status penpot",
        "oauth config penpot --client-id x --client-secret y",
        "secrets init",
        "secrets init --key-file ~/.config/sops/age/keys.txt --secrets-file config/secrets.yaml",
        "secrets install acme-corp",
        "secrets install acme-corp --key-file keys.txt --remote-path /var/lib/sops-nix/key.txt",
        "tls bootstrap",
        "tls issue acme-corp",
        "tls issue acme-corp --domain chat.example.com --domain git.example.com",
        "prerequisites",
    ] {
        let request = request(&catalog, line);
        let bound = catalog.bind_all(&request.intents, &request.arguments, &hash);
        assert!(bound.is_ok(), "{line}: {bound:?}");
    }
}

#[test]
fn positions_flags_and_repeats_fill_their_parameters() {
    let catalog = rave();
    let logs = request(&catalog, "vm logs acme-corp nginx -f -t=20");
    assert_eq!(logs.intents[0].as_str(), "vm.logs");
    let expected = raw(&[
        ("company", "acme-corp"),
        ("service", "nginx"),
        ("follow", "true"),
        ("tail", "20"),
    ]);
    assert_eq!(logs.arguments, expected);
    let issue = request(&catalog, "tls issue acme --domain a.org domain=b.org");
    assert_eq!(issue.arguments["domain"], ["a.org", "b.org"]);
    let add = request(&catalog, "user add ann@acme.com oauth_id=7");
    assert_eq!(add.arguments["oauth-id"], ["7"]);
}

#[test]
fn the_longest_words_win() {
    let catalog = rave();
    assert_eq!(
        request(&catalog, "USER Bulk-Add users.csv").intents[0].as_str(),
        "user.bulk-add"
    );
    assert_eq!(
        request(&catalog, "user.show ann@acme.com").intents[0].as_str(),
        "user.show"
    );
}
