//! Output files.

use bytes::Bytes;
use rave_domain::Digest;
use rave_domain::ports::store::{ChunkRef, Store};

use crate::kit::World;

fn path(world: &World, chunk: &ChunkRef) -> std::path::PathBuf {
    let name = chunk.digest.to_string();
    world.dir().join("chunks").join(&name[..2]).join(&name)
}

#[tokio::test]
async fn output_is_read_as_it_was_written() {
    let world = World::new();
    let content = Bytes::from(vec![b'x'; 100_000]);

    let chunk = world.put_chunk(content.clone()).await.unwrap();

    assert_eq!(chunk.digest, Digest::of(&content));
    assert_eq!(chunk.size, 100_000);
    assert!(path(&world, &chunk).is_file());
    assert_eq!(world.chunk(&chunk).await.unwrap(), Some(content));
}

#[tokio::test]
async fn changed_output_is_not_given_out_and_can_be_written_again() {
    let world = World::new();
    let content = Bytes::from_static(b"all is well");
    let chunk = world.put_chunk(content.clone()).await.unwrap();
    std::fs::write(path(&world, &chunk), "all is WELL").unwrap();

    let error = world.chunk(&chunk).await.unwrap_err();

    assert!(
        error.to_string().contains("is not what was written"),
        "{error}"
    );
    world.put_chunk(content.clone()).await.unwrap();
    assert_eq!(world.chunk(&chunk).await.unwrap(), Some(content));
}

#[tokio::test]
async fn output_that_is_gone_is_no_error() {
    let world = World::new();
    let chunk = world.put_chunk(Bytes::from_static(b"x")).await.unwrap();
    std::fs::remove_file(path(&world, &chunk)).unwrap();
    assert_eq!(world.chunk(&chunk).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_write_the_same_output_at_once() {
    let world = World::new();
    let content = Bytes::from(vec![7; 50_000]);
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (store, content) = (world.shared(), content.clone());
            tokio::spawn(async move { store.put_chunk(content).await.unwrap() })
        })
        .collect();
    for task in tasks {
        let chunk = task.await.unwrap();
        assert_eq!(world.chunk(&chunk).await.unwrap(), Some(content.clone()));
    }
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_thrown_away() {
    let world = World::new();
    let parts = world.dir().join("chunks/parts");
    std::fs::write(parts.join("half"), "ha").unwrap();

    let world = world.reopened();

    assert_eq!(std::fs::read_dir(parts).unwrap().count(), 0);
    drop(world);
}
