//! A program that prints 1 GiB: memory and disk are bounded, and what was left out is said.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::process::Rave;

/// Half of it in lines, half of it in one line that never ends.
const PROGRAM: &str = "#!/bin/sh\n\
    echo the beginning\n\
    /usr/bin/yes 'one line after the other' | /usr/bin/head -c 536870912\n\
    /usr/bin/head -c 536870912 /dev/zero | /usr/bin/tr '\\0' x\n\
    echo\n\
    echo the end\n";

const MIB: u64 = 1024 * 1024;

fn size(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                size(&entry.path())
            } else {
                metadata.len()
            }
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_a_gibibyte_fills_neither_memory_nor_disk() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("flood");
    std::fs::write(&program, PROGRAM).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut rave = Rave::with_rsync(&program);
    rave.start(None).await;
    let (memory, disk) = (rave.memory("VmHWM:"), size(rave.data()));
    let body = json!({"intents": ["copy"], "wait": 0});
    let (status, answer) = rave.post("/api/v1/runs", "flood", &body).await.unwrap();
    assert_eq!(status, 202, "{answer}");
    let run = rave.settled_run().await;
    assert_eq!(run["state"], "succeeded", "{run}");

    let id = run["id"].as_str().unwrap();
    let path = format!("/api/v1/runs/{id}/steps/1/output");
    let request = rave.request(http::Method::GET, &path);
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.contains("the beginning"), "{}", text.len());
    assert!(text.contains("bytes left out"), "{}", text.len());
    assert!(text.contains("the end"), "{}", text.len());
    assert!(text.len() < 6 * 1024 * 1024, "{}", text.len());
    let grown = rave.memory("VmHWM:") - memory;
    assert!(grown < 64 * MIB, "{grown} bytes of memory");
    let written = size(rave.data()) - disk;
    assert!(written < 16 * MIB, "{written} bytes on disk");
    rave.stop().await;
}
