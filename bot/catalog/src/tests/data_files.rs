//! The files that this repository ships.

use std::path::Path;

use super::*;
use crate::source;

fn shipped() -> Catalog {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = source::read_dir(&root.join("intents")).unwrap();
    let schedules = source::read_file(&root.join("schedules.json")).unwrap();
    assert!(schedules.is_some(), "schedules.json is there");
    match Catalog::load(&files, schedules.as_ref(), &actions(), &Settings::default()) {
        Ok(catalog) => catalog,
        Err(found) => panic!("{found}"),
    }
}

#[test]
fn shipped_intents_and_schedules_load_without_a_warning() {
    let catalog = shipped();
    assert!(catalog.warnings().is_empty(), "{}", catalog.warnings());
    let names: Vec<String> = catalog
        .iter()
        .map(|intent| intent.name.to_string())
        .collect();
    insta::assert_snapshot!(names.join("\n"), @"
        backup_docker_volumes
        backup_plex_database
        backup_vm_proxmox
        rollout_all_stacks
        rollout_stack
        rollout_stack_ai
        rollout_stack_content
        rollout_stack_full
        rollout_stack_media
        scale_stack
        scale_stack_ai
        scale_stack_content
        ");
    assert_eq!(catalog.schedules().len(), 2);
}

#[test]
fn every_shipped_intent_says_what_it_does_and_carries_the_label() {
    let catalog = shipped();
    for intent in catalog.iter() {
        assert!(
            !intent.description.is_empty(),
            "{} has no description",
            intent.name
        );
        assert_eq!(
            intent.label("none"),
            catalog.settings().approved_label,
            "{}",
            intent.name
        );
    }
}

#[test]
fn shipped_help_reads_well() {
    let catalog = shipped();
    insta::assert_snapshot!(crate::help::overview(&catalog, &|_| true).reply().plain(), @"
        What you can run
        backup_docker_volumes: Copies every Docker volume to the backup disk
        backup_plex_database: Packs the media server's database and keeps two weeks of archives
        backup_vm_proxmox: Dumps one virtual machine of the Proxmox host
        rollout ai: Pulls newer images for the ai stack and restarts it
        rollout all: Rolls all stacks: AI, content and media first, then the core
        rollout content: Pulls newer images for the content stack and restarts it
        rollout full: Rolls the full stack, after the stacks that it leans on
        rollout media: Pulls newer images for the media stack and restarts it
        rollout stack <stack>: Pulls newer images and restarts the stack that you name
        scale ai: Runs three workers of the AI stack
        scale content: Runs two web servers of the content stack
        scale stack <stack> <service> <replicas>: Sets how many containers of a service run
        Built in: help, intents, plan, run, approve, deny, cancel, retry, resolve, runs, show, logs, schedules, schedule run, freeze, unfreeze, freezes, locks, unlock, audit, whoami, link, unlink, reload, status. With help in front, each explains itself.
        ");
}
