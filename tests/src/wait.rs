//! Waiting for something to be so, never for a time to pass.

use std::future::Future;
use std::time::Duration;

/// Generous, because machines are shared; nothing waits that long when it works.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the condition is looked at.
const PAUSE: Duration = Duration::from_millis(3);

/// Asks until the answer is `Ok`. Fails the test with the last `Err` when that takes too long.
///
/// # Panics
/// When it does not become so.
pub async fn wait_for<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(status) if tokio::time::Instant::now() >= deadline => {
                panic!("waited {} s for {what}; last: {status}", PATIENCE.as_secs())
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
