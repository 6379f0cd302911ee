use serde_json::json;

use super::*;
use crate::testing::{context, fields, operation, program};

fn lines(action: &str, json: &serde_json::Value) -> Vec<String> {
    let action = ActionName::new(action).unwrap();
    let work = parse(&action, &fields(json), Path::new("/opt/stacks")).unwrap();
    let compose = ["docker".to_owned(), "compose".to_owned()];
    work.commands(&compose)
        .iter()
        .map(|argv| argv.join(" "))
        .collect()
}

fn refusal(action: &str, json: &serde_json::Value) -> (ErrorCode, String) {
    let action = ActionName::new(action).unwrap();
    match parse(&action, &fields(json), Path::new("/opt/stacks")).unwrap_err() {
        DriverError::Rejected { message, code } => (code, message),
        other @ (DriverError::Transient { .. } | DriverError::OutcomeUnknown { .. }) => {
            panic!("{other:?}")
        }
    }
}

/// A driver whose Docker is a script: `docker`, also as Compose.
fn driver(directory: &Path, docker: &str) -> Compose {
    let config = ComposeConfig {
        docker: program(directory, "docker", docker),
        stacks_dir: directory.to_owned(),
        ..ComposeConfig::default()
    };
    Compose::new(config, std::env::vars_os()).unwrap()
}

fn write_stack(directory: &Path) {
    std::fs::create_dir(directory.join("media")).unwrap();
    std::fs::write(directory.join("media/docker-compose.yml"), "services: {}").unwrap();
}

#[test]
fn argument_vectors_are_those_of_the_dry_run() {
    let file = "docker compose -f /opt/stacks/stack-media/docker-compose.yml";
    assert_eq!(
        lines("rollout", &json!({"stack": "stack-media"})),
        [format!("{file} pull"), format!("{file} up -d")]
    );
    assert_eq!(
        lines(
            "rollout",
            &json!({"stack": "stack-media", "service": "plex"})
        ),
        [format!("{file} pull plex"), format!("{file} up -d plex")]
    );
    assert_eq!(
        lines(
            "scale",
            &json!({"stack": "stack-media", "service": "web", "replicas": 3})
        ),
        [format!("{file} up -d --scale web=3")]
    );
    assert_eq!(
        lines("rollout", &json!({"stack": "x", "compose": "/srv/x.yml"})),
        [
            "docker compose -f /srv/x.yml pull",
            "docker compose -f /srv/x.yml up -d"
        ]
    );
}

#[test]
fn missing_fields_are_told_in_the_words_that_clients_know() {
    let expected = "Missing service or replicas for scale action".to_owned();
    for incomplete in [
        json!({"stack": "x", "service": "web"}),
        json!({"stack": "x", "replicas": 2}),
        json!({"stack": "x"}),
    ] {
        let refusal = refusal("scale", &incomplete);
        assert_eq!(refusal, (ErrorCode::MissingField, expected.clone()));
    }
    assert_eq!(
        refusal("rollout", &json!({})),
        (
            ErrorCode::MissingField,
            "Missing stack for rollout action".to_owned()
        )
    );
}

#[test]
fn values_that_could_become_something_else_are_refused() {
    for bad in [
        json!({"stack": "../etc"}),
        json!({"stack": "-x"}),
        json!({"stack": "a b"}),
        json!({"stack": "x", "service": "--build"}),
        json!({"stack": "x", "service": "web=3"}),
        json!({"stack": "x", "compose": "-"}),
        json!({"stack": "x", "compose": "https://example.com/x.git"}),
    ] {
        assert_eq!(
            refusal("rollout", &bad).0,
            ErrorCode::InvalidArgument,
            "{bad}"
        );
    }
    for replicas in [-1, 101] {
        let bad = json!({"stack": "x", "service": "web", "replicas": replicas});
        assert_eq!(
            refusal("scale", &bad).0,
            ErrorCode::InvalidArgument,
            "{bad}"
        );
    }
}

#[test]
fn both_actions_bring_their_undo() {
    let driver = Compose::new(ComposeConfig::default(), []).unwrap();
    for (action, undo) in [
        ("rollout", "back to the image digests that ran before"),
        ("scale", "back to the number of containers that ran before"),
    ] {
        let fields = fields(&json!({"stack": "x", "service": "web", "replicas": 1}));
        let nature = driver
            .nature(&ActionName::new(action).unwrap(), &fields)
            .unwrap();
        assert_eq!(nature.class, Class::Idempotent);
        assert_eq!(nature.undo, Some((undo.to_owned(), Class::Idempotent)));
    }
}

#[tokio::test]
async fn a_plan_needs_neither_docker_nor_the_compose_file() {
    let driver = Compose::new(ComposeConfig::default(), []).unwrap();
    let rollout = operation("rollout", &json!({"stack": "no-such-stack"}));
    let preview = driver.plan(&rollout).await.unwrap();
    assert_eq!(
        preview.warnings,
        [
            "the compose file /opt/stacks/no-such-stack/docker-compose.yml does not exist; services \
          could not be listed"
        ]
    );
    assert!(preview.binding.is_empty());

    let directory = tempfile::tempdir().unwrap();
    write_stack(directory.path());
    let config = ComposeConfig {
        docker: "/no/such/docker".to_owned(),
        compose: vec!["/no/such/docker".to_owned(), "compose".to_owned()],
        stacks_dir: directory.path().to_owned(),
        ..ComposeConfig::default()
    };
    let driver = Compose::new(config, []).unwrap();
    let preview = driver
        .plan(&operation("rollout", &json!({"stack": "media"})))
        .await
        .unwrap();
    assert_eq!(preview.commands.len(), 2);
    assert_eq!(
        preview.warnings,
        [
            "nothing could be observed: `/no/such/docker compose` does not run here: install the \
          Compose plugin of Docker or docker-compose, or set compose.compose"
        ]
    );
    assert!(preview.binding.contains_key("compose file"));
}

#[tokio::test]
async fn a_plan_lists_services_and_what_it_would_reset() {
    let directory = tempfile::tempdir().unwrap();
    write_stack(directory.path());
    let container = |service: &str| {
        json!({"Id": "c", "Name": "/c", "Image": "sha256:a", "State": {"Status": "running"}, "Config": {
            "Image": "app", "Labels": {"com.docker.compose.service": service}}})
    };
    let containers = json!([container("web"), container("web"), container("api")]);
    let docker = format!(
        "case \"$*\" in
            'compose version') echo 'Docker Compose version v2.26.1';;
            *'config --services') printf 'api\\nweb\\n';;
            *'ps -a -q') printf 'c1\\nc2\\nc3\\n';;
            'container inspect c1 c2 c3') echo '{containers}';;
            *) echo '[]';;
        esac"
    );
    let driver = driver(directory.path(), &docker);
    let rollout = operation("rollout", &json!({"stack": "media"}));
    let preview = driver.plan(&rollout).await.unwrap();
    let touched: Vec<&str> = preview.touches.iter().map(String::as_str).collect();
    assert_eq!(touched, ["service api of media", "service web of media"]);
    let reset = "web runs 2 containers; `up` sets it to the number in the compose file";
    assert_eq!(preview.warnings, [reset]);

    let scale = operation(
        "scale",
        &json!({"stack": "media", "service": "db", "replicas": 1}),
    );
    let preview = driver.plan(&scale).await.unwrap();
    assert_eq!(
        preview.warnings,
        ["media has no service db; it has api, web", reset]
    );
}

#[tokio::test]
async fn an_edited_file_changes_what_was_approved() {
    let directory = tempfile::tempdir().unwrap();
    write_stack(directory.path());
    let driver = driver(directory.path(), "exit 1");
    let rollout = operation("rollout", &json!({"stack": "media"}));
    let first = driver.plan(&rollout).await.unwrap().binding;
    assert_eq!(driver.plan(&rollout).await.unwrap().binding, first);
    std::fs::write(directory.path().join("media/.env"), "TAG=2").unwrap();
    let second = driver.plan(&rollout).await.unwrap().binding;
    assert_ne!(second, first);
    std::fs::write(directory.path().join("media/.env"), "TAG=3").unwrap();
    assert_ne!(driver.plan(&rollout).await.unwrap().binding, second);
}

#[tokio::test]
async fn a_missing_compose_file_is_named_before_anything_runs() {
    let directory = tempfile::tempdir().unwrap();
    let driver = driver(directory.path(), "exit 1");
    let (context, _) = context("missing");
    let rollout = operation("rollout", &json!({"stack": "media"}));
    for error in [
        driver.prepare(&rollout, &context).await.unwrap_err(),
        driver.apply(&rollout, &context).await.unwrap_err(),
    ] {
        let file = directory.path().join("media/docker-compose.yml");
        let message = format!(
            "the compose file {} of media does not exist",
            file.display()
        );
        assert_eq!(error, rejected(ErrorCode::TargetMissing, message));
    }
}

#[tokio::test]
async fn a_failing_pull_stops_before_up() {
    let directory = tempfile::tempdir().unwrap();
    write_stack(directory.path());
    let docker = "case \"$*\" in
            'compose version') echo 'Docker Compose version v2';;
            *'ps -a -q') ;;
            *pull) echo 'pulling'; echo 'manifest unknown' >&2; exit 18;;
            *) echo \"ran $*\";;
        esac";
    let driver = driver(directory.path(), docker);
    let (context, sink) = context("pull");
    let rollout = operation("rollout", &json!({"stack": "media"}));
    let error = driver.apply(&rollout, &context).await.unwrap_err();
    let message = "docker compose pull ended with exit code 18: manifest unknown";
    assert_eq!(error, rejected(ErrorCode::CommandFailed, message));
    assert_eq!(
        (sink.out().as_str(), sink.err().as_str()),
        ("pulling\n", "manifest unknown\n")
    );
}

#[tokio::test]
async fn the_old_form_of_compose_is_found_and_the_plan_says_so() {
    let directory = tempfile::tempdir().unwrap();
    write_stack(directory.path());
    program(
        directory.path(),
        "docker-compose",
        "case \"$*\" in
            version) echo 'docker-compose version 1.29.2, build x';;
            *'ps -a -q') ;;
            *) echo \"old $*\";;
        esac",
    );
    let config = ComposeConfig {
        docker: program(directory.path(), "docker", "exit 1"),
        stacks_dir: directory.path().to_owned(),
        ..ComposeConfig::default()
    };
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let driver = Compose::new(config, [("PATH".into(), path.into())]).unwrap();
    let rollout = operation("rollout", &json!({"stack": "media"}));
    let preview = driver.plan(&rollout).await.unwrap();
    assert!(
        preview
            .warnings
            .iter()
            .any(|it| it.ends_with("`docker-compose` runs instead")),
        "{:?}",
        preview.warnings
    );
    let (context, sink) = context("old");
    driver.apply(&rollout, &context).await.unwrap();
    let file = directory.path().join("media/docker-compose.yml");
    let expected = format!("old -f {0} pull\nold -f {0} up -d\n", file.display());
    assert_eq!(sink.out(), expected);
}

#[tokio::test]
async fn a_rollout_waits_for_what_is_still_being_stopped() {
    let container = |status: &str| {
        json!([{"Id": "c1", "Name": "/c1", "Image": "sha256:a", "State": {"Status": status},
            "Config": {"Image": "app", "Labels": {}}}])
    };
    let (running, exited) = (container("running"), container("exited"));
    let kill = json!({"Action": "kill", "Actor": {"ID": "c1", "Attributes": {"signal": "15"}}});
    for version in [
        "docker-compose version 1.29.2, build x",
        "Docker Compose version v2.26.1",
    ] {
        let directory = tempfile::tempdir().unwrap();
        write_stack(directory.path());
        let ended = directory.path().join("ended");
        let ended = ended.display();
        // The container ends after the first look at what happened to it.
        let docker = format!(
            "case \"$*\" in
                'compose version') echo '{version}';;
                *'ps -a -q') echo c1;;
                'container inspect c1') [ -e {ended} ] && echo '{exited}' || echo '{running}';;
                'events '*) echo '{kill}'; touch {ended};;
                'image inspect '*) echo '[]';;
                *' pull'|*' up -d') [ -e {ended} ] && echo \"$*\" || echo too early;;
                *) exit 1;;
            esac"
        );
        let driver = driver(directory.path(), &docker);
        let (context, sink) = context("dying");
        let rollout = operation("rollout", &json!({"stack": "media"}));
        driver.apply(&rollout, &context).await.unwrap();
        let file = directory.path().join("media/docker-compose.yml");
        let call = format!("compose -f {}", file.display());
        let expected = format!("{call} pull\n{call} up -d\n");
        assert_eq!(sink.out(), expected, "{version}");
    }
}

#[tokio::test]
async fn an_undo_sees_what_ended_while_it_looked() {
    let directory = tempfile::tempdir().unwrap();
    write_stack(directory.path());
    let container = |status: &str| {
        json!([{"Id": "c1", "Name": "/c1", "Image": "sha256:a", "State": {"Status": status},
            "Config": {"Image": "app", "Labels": {"com.docker.compose.service": "web"}}}])
    };
    let (running, exited) = (container("running"), container("exited"));
    let event = |action: &str| {
        let attributes = json!({"signal": "15"});
        json!({"Action": action, "Actor": {"ID": "c1", "Attributes": attributes}})
    };
    let (kill, die) = (event("kill"), event("die"));
    let ended = directory.path().join("ended");
    let ended = ended.display();
    // Both the signal and the end come between the list and the look at what happened.
    let docker = format!(
        "case \"$*\" in
            'compose version') echo 'docker-compose version 1.29.2, build x';;
            *'ps -a -q') echo c1;;
            'container inspect c1') [ -e {ended} ] && echo '{exited}' || echo '{running}';;
            'events '*) printf '%s\\n' '{kill}' '{die}'; touch {ended};;
            'image inspect '*) echo '[{{\"Id\": \"sha256:a\"}}]';;
            *' up -d '*) echo up; rm {ended};;
            *) exit 1;;
        esac"
    );
    let driver = driver(directory.path(), &docker);
    let (context, sink) = context("raced");
    let rollout = operation("rollout", &json!({"stack": "media"}));
    let before = driver.prepare(&rollout, &context).await.unwrap().unwrap();
    driver.undo(&rollout, &before, &context).await.unwrap();
    assert_eq!(sink.out(), "up\n");
}

#[tokio::test]
async fn cancel_returns_when_the_interrupted_call_has_stopped() {
    let directory = tempfile::tempdir().unwrap();
    write_stack(directory.path());
    let docker = "case \"$*\" in
            'compose version') echo 'Docker Compose version v2';;
            *pull) echo started; exec sleep 60;;
        esac";
    let driver = driver(directory.path(), docker);
    let (context, sink) = context("cancelled");
    let rollout = operation("rollout", &json!({"stack": "media"}));
    let (outcome, ()) = tokio::join!(driver.apply(&rollout, &context), async {
        while sink.out().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        driver.cancel(&context.key).await;
    });
    let stopped = "stopped".to_owned();
    assert_eq!(
        outcome,
        Err(DriverError::OutcomeUnknown { message: stopped })
    );
}
