//! The inbox: recorded once, whoever repeats it.

use rave_domain::ports::store::{InboxKey, Received, Store, Write};
use rave_domain::request::Change;

use crate::kit::{World, at, entry, request};

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_simultaneous_repeats_one_is_new() {
    let world = World::new();
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let store = world.shared();
            tokio::spawn(async move {
                store
                    .receive(request("evt-1"), vec![entry("run.requested", "req_0001")])
                    .await
            })
        })
        .collect();

    let mut new = 0;
    for task in tasks {
        match task.await.unwrap().unwrap() {
            Received::New => new += 1,
            Received::Duplicate(first) => assert_eq!(*first, request("evt-1")),
        }
    }

    assert_eq!(new, 1);
    assert_eq!(world.audit_after(0, 10).await.unwrap().len(), 1);
    assert_eq!(world.unanswered().await.unwrap(), [request("evt-1")]);
}

#[tokio::test]
async fn the_same_id_on_another_surface_or_of_another_account_is_another_request() {
    let world = World::new();
    let mut other_account = request("evt-1");
    other_account.key.scope = "token:ci".to_owned();
    let mut other_surface = request("evt-1");
    other_surface.key.surface = rave_domain::Surface::Http;

    for row in [request("evt-1"), other_account, other_surface] {
        let received = world.receive(row, Vec::new()).await.unwrap();
        assert_eq!(received, Received::New);
    }
}

#[tokio::test]
async fn a_repeat_gets_the_answer_of_the_first_time() {
    let world = World::new();
    world.receive(request("evt-1"), Vec::new()).await.unwrap();
    let answer = serde_json::json!({"text": "run_0001 is queued"});
    world
        .commit(vec![Write::Answered {
            key: request("evt-1").key,
            answer: answer.clone(),
        }])
        .await
        .unwrap();

    let again = world.receive(request("evt-1"), Vec::new()).await.unwrap();

    let Received::Duplicate(first) = again else {
        panic!("a repeat was taken for new");
    };
    assert_eq!(first.answer, Some(answer));
    assert_eq!(world.unanswered().await.unwrap(), []);
    assert_eq!(
        world.received(&first.key).await.unwrap().as_ref(),
        Some(&*first)
    );
}

#[tokio::test]
async fn requests_without_an_answer_come_oldest_first() {
    let world = World::new();
    for (id, received) in [("b", 2), ("c", 3), ("a", 1)] {
        let mut row = request(id);
        row.received_at = at(received);
        row.change = Change::Reload;
        world.receive(row, Vec::new()).await.unwrap();
    }

    let waiting = world.unanswered().await.unwrap();

    let ids: Vec<_> = waiting.iter().map(|row| row.key.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[tokio::test]
async fn an_unknown_key_has_no_request() {
    let key = InboxKey {
        id: "nobody".to_owned(),
        ..request("evt-1").key
    };
    assert_eq!(World::new().received(&key).await.unwrap(), None);
}
