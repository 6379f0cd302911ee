//! A client that costs little beside what it measures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// One POST as it goes over the wire.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "application/x-www-form-urlencoded"
    };
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            read: Vec::with_capacity(16 * 1024),
        }
    }

    /// Sends a request and gives the body of its answer, which must be a success.
    pub(crate) async fn send(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.unwrap();
        self.read.clear();
        loop {
            let read = self.stream.read_buf(&mut self.read).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            if let Some(body) = whole_body(&self.read) {
                return &self.read[body..];
            }
        }
    }
}

/// Where the body begins, once all of it is there.
fn whole_body(answer: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"content-length: ";
    let body = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = &answer[..body];
    assert!(
        head.starts_with(b"HTTP/1.1 2"),
        "{}",
        String::from_utf8_lossy(answer)
    );
    let length = head
        .windows(LENGTH.len())
        .position(|at| at.eq_ignore_ascii_case(LENGTH))
        .unwrap()
        + LENGTH.len();
    let digits = head[length..].iter().take_while(|c| c.is_ascii_digit());
    let length = digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    (answer.len() - body >= length).then_some(body)
}

/// Requests a second over kept connections, each sending its next as soon as it has its answer.
pub(crate) async fn closed_loop(
    address: SocketAddr,
    request: &[u8],
    connections: u32,
    each: u32,
) -> f64 {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await);
    }
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in open {
        let request = request.to_vec();
        tasks.spawn(async move {
            for _ in 0..each {
                connection.send(&request).await;
            }
        });
    }
    tasks.join_all().await;
    f64::from(connections * each) / started.elapsed().as_secs_f64()
}

/// How long each of `count` requests took, sent at fixed times whether or not earlier ones are
/// answered. Time counts from when a request should have been sent, so a server that stalls is
/// charged for everything that waited behind the stall.
pub(crate) async fn open_loop(
    address: SocketAddr,
    per_second: u32,
    count: u32,
    request: impl Fn(u32) -> Vec<u8>,
) -> Vec<Duration> {
    const CONNECTIONS: u32 = 64;
    let mut lanes = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (lane, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
        let mut connection = Connection::open(address).await;
        tasks.spawn(async move {
            let mut took = Vec::new();
            while let Some((intended, request)) = due.recv().await {
                connection.send(&request).await;
                took.push(intended.elapsed());
            }
            took
        });
        lanes.push(lane);
    }
    let requests: Vec<Vec<u8>> = (0..count).map(request).collect();
    // A thread, because timers of tokio are no finer than a millisecond.
    std::thread::spawn(move || {
        let started = Instant::now();
        for (number, request) in (0_u32..).zip(requests) {
            let intended = started + Duration::from_secs(1) * number / per_second;
            while let Some(early) = intended.checked_duration_since(Instant::now()) {
                std::thread::park_timeout(early);
            }
            let lane = &lanes[(number % CONNECTIONS) as usize];
            lane.send((intended, request)).unwrap();
        }
    });
    tasks.join_all().await.into_iter().flatten().collect()
}
