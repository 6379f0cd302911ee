//! The compose and backup drivers against a real Docker Engine, both generations of Compose and a
//! real registry, all started by `tests/services/up`. A missing service is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

mod world;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rave_compose::{Backups, Compose, ComposeConfig};
use rave_domain::ports::driver::{Driver, DriverError};
use rave_domain::value::{Value, Values};
use rave_domain::{EffectKey, ErrorCode};

use world::{Generation, PATIENCE, World, context, environment, operation, running, wait_for};

async fn a_rollout_follows_a_moved_tag_and_its_undo_goes_back(generation: Generation) {
    let world = World::new("moved", generation);
    world.publish("1").await;
    let (one, two) = (
        world.id_of(&world.image("app:1")).await,
        world.image("app:2"),
    );
    world.write(&serde_json::json!({
        "web": {"image": world.moving()},
        "db": {"image": world.image("worker:1")},
    }));
    // Started by hand, in its directory.
    world.compose(&["up", "-d"]).await;
    world.compose(&["up", "-d", "--scale", "web=2"]).await;
    let db = world.containers("db").await;
    world.publish("2").await;
    let two = world.id_of(&two).await;

    let rollout = world.operation("rollout", &[]);
    let (context, sink) = context(&world.name);
    let plan = world.driver.plan(&rollout).await.unwrap();
    assert_eq!(plan.touches.len(), 2, "{plan:?}");
    let reset = "web runs 2 containers; `up` sets it to the number in the compose file";
    assert!(plan.warnings.contains(&reset.to_owned()), "{plan:?}");
    let before = world.prepared(&rollout, &context).await;
    let applied = world.driver.apply(&rollout, &context).await.unwrap();
    assert_eq!(world.states("web").await, [running(&two)]);
    let repository = world.moving().replace(":latest", "@sha256:");
    assert!(
        applied.facts["image of web"].starts_with(&repository),
        "{applied:?}"
    );
    assert_eq!(sink.groups.lock().unwrap().len(), 2);

    // Twice, because an undo is repeated after a crash.
    for _ in 0..2 {
        world
            .driver
            .undo(&rollout, &before, &context)
            .await
            .unwrap();
        assert_eq!(world.states("web").await, [running(&one), running(&one)]);
    }
    assert_eq!(
        world.containers("db").await,
        db,
        "the undo restarted a service that had not moved"
    );
    world.compose(&["up", "-d"]).await;
    assert_eq!(
        world.states("web").await,
        [running(&one)],
        "the next `up` repeated the rollout"
    );
    world.down().await;
}

async fn an_undo_survives_an_edited_file_and_removes_new_services(generation: Generation) {
    let world = World::new("edited", generation);
    // An image that no registry knows, so that only its id leads back.
    let local = format!("local-only-{}", world.name);
    for release in ["app:1", "app:2"] {
        world
            .run(&["docker", "pull", "-q", &world.image(release)])
            .await;
    }
    world
        .run(&["docker", "tag", &world.image("app:1"), &local])
        .await;
    world.write(&serde_json::json!({
        "web": {"image": local},
        "migrate": {"image": world.image("worker:1"), "command": ["true"]},
    }));
    world.compose(&["up", "-d"]).await;
    let old = world.id_of(&local).await;
    let worker = world.id_of(&world.image("worker:1")).await;
    world.write(&serde_json::json!({
        "web": {"image": world.image("app:2")},
        "migrate": {"image": world.image("app:2"), "command": ["true"]},
        "new": {"image": world.image("worker:1")},
    }));

    let rollout = world.operation("rollout", &[]);
    let (context, _) = context(&world.name);
    let before = world.prepared(&rollout, &context).await;
    world.driver.apply(&rollout, &context).await.unwrap();
    let new = world.id_of(&world.image("app:2")).await;
    assert_eq!(world.states("web").await, [running(&new)]);
    assert_eq!(world.states("new").await.len(), 1);

    world
        .driver
        .undo(&rollout, &before, &context)
        .await
        .unwrap();
    assert_eq!(world.states("web").await, [running(&old)]);
    assert_eq!(world.states("new").await, []);
    let migrate = world.states("migrate").await;
    assert_eq!(migrate.len(), 1);
    assert!(
        migrate[0].0 != "running" && migrate[0].1 == worker,
        "{migrate:?}"
    );
    world.down().await;
}

async fn a_scale_goes_there_and_back(generation: Generation) {
    let world = World::new("scale", generation);
    world.write(&serde_json::json!({"web": {"image": world.image("app:1")}}));
    let one = world.id_of(&world.image("app:1")).await;
    world.compose(&["up", "-d"]).await;
    for (replicas, run) in [(3, "up"), (0, "off")] {
        let scale = world.scale(replicas);
        let (context, _) = context(&format!("{}{run}", world.name));
        let before = world.prepared(&scale, &context).await;
        world.driver.apply(&scale, &context).await.unwrap();
        let count = usize::try_from(replicas).unwrap();
        assert_eq!(world.states("web").await, vec![running(&one); count]);
        world.driver.undo(&scale, &before, &context).await.unwrap();
        assert_eq!(world.states("web").await, [running(&one)]);
    }
    world.down().await;
}

/// A stack whose `up` waits for ten minutes until its database is healthy.
fn write_slow(world: &World) {
    world.write(&serde_json::json!({
        "web": {
            "image": world.image("app:2"),
            "depends_on": {"db": {"condition": "service_healthy"}},
        },
        "db": {
            "image": world.image("worker:1"),
            "healthcheck": {"test": ["CMD", "true"], "interval": "600s"},
        },
    }));
}

async fn a_slow_up_is_cancelled_and_undone(generation: Generation) {
    let world = World::new("cancel", generation);
    world.write(&serde_json::json!({"web": {"image": world.image("app:1")}}));
    world.compose(&["up", "-d"]).await;
    let one = world.id_of(&world.image("app:1")).await;
    write_slow(&world);

    let rollout = world.operation("rollout", &[]);
    let (context, sink) = context(&world.name);
    let before = world.prepared(&rollout, &context).await;
    let started = Instant::now();
    let (outcome, ()) = tokio::join!(world.driver.apply(&rollout, &context), async {
        wait_for("the second command", || {
            sink.groups.lock().unwrap().len() == 2
        })
        .await;
        while world.states("db").await.is_empty() {
            assert!(started.elapsed() < PATIENCE, "the database was not started");
        }
        world.driver.cancel(&context.key).await;
    });
    let stopped = "stopped".to_owned();
    assert_eq!(
        outcome,
        Err(DriverError::OutcomeUnknown { message: stopped })
    );
    assert_eq!(marked(&context.key), Vec::<PathBuf>::new());

    world
        .driver
        .undo(&rollout, &before, &context)
        .await
        .unwrap();
    assert_eq!(world.states("web").await, [running(&one)]);
    assert_eq!(world.states("db").await, []);
    world.down().await;
}

/// Whoever ran the rollout is gone at once, with its children; Docker Engine goes on with what it
/// was told last, here a stop that takes a second.
async fn a_rollout_killed_at_any_moment_is_repeated_or_undone(generation: Generation) {
    let world = World::new("killed", generation);
    let slow = [
        "sh",
        "-c",
        "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.1; done",
    ];
    let write = |release: usize| {
        let service = serde_json::json!({
            "image": world.image(&format!("app:{release}")), "command": slow,
        });
        world.write(&serde_json::json!({"web": service, "api": service}));
    };
    let image = async |release: usize| {
        let image = world.image(&format!("app:{release}"));
        world.run(&["docker", "pull", "-q", &image]).await;
        world.id_of(&image).await
    };
    let images = [image(1).await, image(2).await];
    write(1);
    world.compose(&["up", "-d"]).await;
    let mut current = 1;
    // A few moments, or all of them in a longer run.
    let scale = world.environment.get(&OsString::from("RAVE_TEST_SCALE"));
    let scale: usize = scale.and_then(|it| it.to_str()?.parse().ok()).unwrap_or(1);
    let moments_ms = [500, 100, 1100, 300, 800, 1400, 1700, 2000];
    let chosen = moments_ms.into_iter().take(3 * scale.max(1));
    for (round, delay_ms) in chosen.enumerate() {
        let next = 3 - current;
        write(next);
        let rollout = world.operation("rollout", &[]);
        let (context, sink) = context(&format!("{}r{round}", world.name));
        let before = world.prepared(&rollout, &context).await;
        let (_, ()) = tokio::join!(world.driver.apply(&rollout, &context), async {
            wait_for("the second command", || {
                sink.groups.lock().unwrap().len() == 2
            })
            .await;
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            let group = sink.groups.lock().unwrap()[1].pgid;
            let group = rustix::process::Pid::from_raw(group).unwrap();
            // It may have ended before.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        });
        let expected = if round % 2 == 0 {
            world
                .driver
                .undo(&rollout, &before, &context)
                .await
                .unwrap();
            current
        } else {
            world.driver.apply(&rollout, &context).await.unwrap();
            next
        };
        // Long enough for whatever was still being stopped.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for service in ["web", "api"] {
            let found = world.states(service).await;
            let image = &images[expected - 1];
            assert_eq!(
                found,
                [running(image)],
                "{service}, killed after {delay_ms} ms"
            );
        }
        current = expected;
    }
    world.down().await;
}

/// The processes that carry an effect's key.
fn marked(key: &EffectKey) -> Vec<PathBuf> {
    let marker = format!("RAVE_EFFECT_KEY={key}");
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            std::fs::read(path.join("environ")).is_ok_and(|it| {
                it.split(|byte| *byte == 0)
                    .any(|it| it == marker.as_bytes())
            })
        })
        .collect()
}

/// One test per generation of Compose.
macro_rules! with_both {
    ($($scenario:ident: $one:ident, $two:ident;)*) => {
        $(
            #[tokio::test]
            async fn $one() {
                $scenario(Generation::One).await;
            }

            #[tokio::test]
            async fn $two() {
                $scenario(Generation::Two).await;
            }
        )*
    };
}

with_both! {
    a_rollout_follows_a_moved_tag_and_its_undo_goes_back:
        compose_1_rollout_follows_a_moved_tag_and_its_undo_goes_back,
        compose_2_rollout_follows_a_moved_tag_and_its_undo_goes_back;
    an_undo_survives_an_edited_file_and_removes_new_services:
        compose_1_undo_survives_an_edited_file_and_removes_new_services,
        compose_2_undo_survives_an_edited_file_and_removes_new_services;
    a_scale_goes_there_and_back:
        compose_1_scale_goes_there_and_back,
        compose_2_scale_goes_there_and_back;
    a_slow_up_is_cancelled_and_undone:
        compose_1_slow_up_is_cancelled_and_undone,
        compose_2_slow_up_is_cancelled_and_undone;
    a_rollout_killed_at_any_moment_is_repeated_or_undone:
        compose_1_rollout_killed_at_any_moment_is_repeated_or_undone,
        compose_2_rollout_killed_at_any_moment_is_repeated_or_undone;
}

#[tokio::test]
async fn another_process_ends_what_a_killed_one_left() {
    let world = World::new("left", Generation::Two);
    write_slow(&world);
    let rollout = world.operation("rollout", &[]);
    let (context, sink) = context(&world.name);
    let (outcome, ()) = tokio::join!(world.driver.apply(&rollout, &context), async {
        wait_for("the second command", || {
            sink.groups.lock().unwrap().len() == 2
        })
        .await;
        // As after a restart: a driver that knows nothing, and the ledger's record.
        let fresh = Compose::new(ComposeConfig::default(), world.environment.clone()).unwrap();
        let group = sink.groups.lock().unwrap().last().cloned();
        assert!(fresh.end_leftovers(&context.key, group.as_ref()).await);
        assert_eq!(marked(&context.key), Vec::<PathBuf>::new());
    });
    assert!(outcome.is_err());
    world.down().await;
}

#[tokio::test]
async fn a_tag_that_does_not_exist_fails_and_changes_nothing() {
    let world = World::new("absent", Generation::Two);
    world.write(&serde_json::json!({"web": {"image": world.image("app:1")}}));
    world.compose(&["up", "-d"]).await;
    let before = world.containers("web").await;
    world.write(&serde_json::json!({"web": {"image": world.image("app:no-such-tag")}}));
    let (context, _) = context(&world.name);
    let error = world
        .driver
        .apply(&world.operation("rollout", &[]), &context)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, DriverError::Rejected { code: ErrorCode::CommandFailed, message }
            if message.starts_with("docker compose pull ended with exit code ")),
        "{error:?}"
    );
    assert_eq!(world.containers("web").await, before);
    world.down().await;
}

#[tokio::test]
async fn without_an_engine_plans_still_work_and_the_rest_says_what_to_do() {
    let world = World::new("down", Generation::Two);
    world.write(&serde_json::json!({"web": {"image": world.image("app:1")}}));
    let config = ComposeConfig {
        docker_host: Some("unix:///no/such/docker.sock".to_owned()),
        stacks_dir: world.directory.path().to_owned(),
        ..ComposeConfig::default()
    };
    let driver = Compose::new(config.clone(), world.environment.clone()).unwrap();
    let rollout = world.operation("rollout", &[]);
    let preview = driver.plan(&rollout).await.unwrap();
    assert_eq!(preview.commands.len(), 2);
    assert_eq!(preview.touches.len(), 1);
    assert!(
        preview.warnings[0].contains("could not be observed"),
        "{preview:?}"
    );
    let (context, _) = context(&world.name);
    for error in [
        driver.health().await.unwrap_err(),
        driver.prepare(&rollout, &context).await.unwrap_err(),
        driver.apply(&rollout, &context).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, DriverError::Transient { code: ErrorCode::DriverUnavailable, message }
                if message.contains("start it")),
            "{error:?}"
        );
    }
    Backups::new(config, world.environment.clone())
        .unwrap()
        .health()
        .await
        .unwrap();
    world.driver.health().await.unwrap();
}

fn texts(fields: &[(&str, &str)]) -> Values {
    let fields = fields.iter();
    fields
        .map(|(name, it)| ((*name).to_owned(), Value::Text((*it).to_owned())))
        .collect()
}

#[tokio::test]
async fn a_plex_database_is_copied_out_of_its_container() {
    let world = World::new("plex", Generation::Two);
    world.write(&serde_json::json!({"plex": {"image": world.image("app:1")}}));
    world.compose(&["up", "-d"]).await;
    let container = format!("{}-plex-1", world.name);
    let destination = world.path().join("archives");
    let backup = operation(
        "backup",
        texts(&[
            ("backup_type", "plex"),
            ("source_container", &container),
            ("source_path", "/www"),
            ("destination", destination.to_str().unwrap()),
        ]),
    );
    let driver = Backups::new(ComposeConfig::default(), world.environment.clone()).unwrap();
    let (context, _) = context(&world.name);
    let applied = driver.apply(&backup, &context).await.unwrap();
    let archive = destination.join("plex_db_backup_20250309_040506.tar.gz");
    assert_eq!(Path::new(&applied.facts["archive"]), archive);
    let listed = world.run(&["tar", "-tzf", archive.to_str().unwrap()]).await;
    assert!(
        listed.lines().any(|line| line == "./www/index.html"),
        "{listed}"
    );
    assert_eq!(std::fs::read_dir(&destination).unwrap().count(), 1);
    world.down().await;
}

#[tokio::test]
async fn volumes_are_mirrored_without_what_is_excluded() {
    let directory = tempfile::tempdir().unwrap();
    let (source, destination) = (directory.path().join("from"), directory.path().join("to"));
    for made in [&source, &destination] {
        std::fs::create_dir(made).unwrap();
    }
    for name in ["kept", "left.tmp"] {
        std::fs::write(source.join(name), "x").unwrap();
    }
    std::fs::write(destination.join("gone"), "x").unwrap();
    let mut fields = texts(&[
        ("backup_type", "docker_volumes"),
        ("source", source.to_str().unwrap()),
        ("destination", destination.to_str().unwrap()),
    ]);
    fields.insert("exclude".to_owned(), Value::List(vec!["*.tmp".to_owned()]));
    fields.insert(
        "options".to_owned(),
        Value::List(vec!["--delete".to_owned()]),
    );
    let driver = Backups::new(ComposeConfig::default(), environment()).unwrap();
    let (context, sink) = context(&format!("volumes{}", std::process::id()));
    driver
        .apply(&operation("backup", fields), &context)
        .await
        .unwrap();
    let names: Vec<_> = std::fs::read_dir(&destination)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["kept"]);
    assert!(sink.text.lock().unwrap().contains("deleting gone"));
}
