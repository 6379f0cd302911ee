//! `rave demo`: a whole conversation, from the first command to the audit trail, on a machine
//! with nothing installed and nothing configured.
//!
//! The server is the real one: a child process of this executable with a configuration, intents
//! and an SQLite file in a temporary directory. The demo plays Mattermost: it posts the forms that
//! Mattermost posts and takes later answers at their `response_url`. It tells nothing that it has
//! not seen: every turn of the story is checked, and one that does not come ends the demo with an
//! error and leaves its directory for a look.
//!
//! Waits look again and again for what they wait for and give up after a while; nothing sleeps.

mod chat;
mod child;
mod files;
mod markdown;
mod runs;
mod screen;
mod stacks;
mod story;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chat::Mattermost;
use child::{Launch, Server};
use files::Files;
use runs::Api;
use screen::Screen;
use stacks::Stacks;
use tokio::signal::unix::{SignalKind, signal};

/// Everything of one demo.
struct Stage {
    screen: Screen,
    files: Files,
    stacks: Stacks,
    chat: Mattermost,
    client: reqwest::Client,
    launch: Launch,
    server: Option<Server>,
    started: Instant,
    /// The story has been told to its end.
    told: bool,
}

/// Tells the story. With `once` that is all; without, the server stays up until Ctrl-C.
///
/// # Errors
/// What did not happen, for the person at the terminal.
pub async fn run(once: bool) -> Result<(), String> {
    let mut stop = std::pin::pin!(told_to_stop()?);
    let screen = Screen::of_stdout();
    introduce(screen);
    let mut stage = tokio::select! {
        stage = Stage::set_up(screen) => stage?,
        () = &mut stop => return Err("stopped before it began".to_owned()),
    };
    let played = tokio::select! {
        played = Box::pin(stage.play(once)) => played,
        () = &mut stop => {
            screen.blank();
            screen.narrate("Stopping.");
            Ok(())
        }
    };
    stage.close(played).await
}

impl Stage {
    async fn set_up(screen: Screen) -> Result<Self, String> {
        let started = Instant::now();
        let client = reqwest::Client::builder()
            // Everything is on this machine, and a server that was killed keeps no connections.
            .no_proxy()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        let files = Files::new()?;
        let chat = Mattermost::start(client.clone()).await?;
        files.fill(&chat)?;
        let stacks = Stacks::choose(&files).await;
        let program = std::env::current_exe()
            .map_err(|error| format!("this program does not find itself: {error}"))?;
        let mut arguments = vec![
            "serve".into(),
            "--config".into(),
            files.at("rave.toml").into(),
        ];
        arguments.extend(stacks.arguments());
        let launch = Launch {
            program,
            arguments,
            directory: files.path().to_owned(),
            log: files.at("server.log"),
        };
        Ok(Self {
            screen,
            files,
            stacks,
            chat,
            client,
            launch,
            server: None,
            started,
            told: false,
        })
    }

    async fn play(&mut self, once: bool) -> Result<(), String> {
        self.tell().await?;
        self.told = true;
        if once {
            return Ok(());
        }
        self.invite()?;
        self.show_arrivals().await
    }

    /// Says what a reader can do with the server.
    fn invite(&self) -> Result<(), String> {
        let url = &self.server()?.url;
        let screen = self.screen;
        screen.blank();
        screen.narrate(&format!(
            "The server stays up at {url} until Ctrl-C, and later answers appear here. To try in \
             another terminal:"
        ));
        screen.blank();
        let hook = self.chat.url_for_commands_by_hand();
        screen.command(&format!(
            "  say() {{ curl -s {url}/chat/mattermost/command \\\n    \
             -d token={token} -d user_id=u-$1 -d trigger_id=$(date +%s%N) \\\n    \
             -d response_url={hook} \\\n    \
             --data-urlencode text=\"$2\"; echo; }}",
            token = self.chat.token
        ));
        screen.command("  say ann 'rollout shop'        # and then: say bob 'approve run_…'");
        screen.command(&format!(
            "  curl -s -H 'X-API-Key: {}' {url}/api/v1/runs",
            self.files.api_key
        ));
        screen.blank();
        screen.narrate(&format!(
            "Its configuration, intents, journal and log are in {}.",
            self.files.path().display()
        ));
        Ok(())
    }

    /// Prints what Rave posts because of the reader's own commands.
    async fn show_arrivals(&mut self) -> Result<(), String> {
        let Some(server) = self.server.as_mut() else {
            return Err("the server is gone".to_owned());
        };
        loop {
            tokio::select! {
                why = server.ended() => return Err(why),
                () = self.chat.arrival() => {}
            }
            while let Some(post) = self.chat.take_post() {
                self.screen.blank();
                let only = post.answer.is_private().then_some(post.asker.as_str());
                self.screen.answered(&post.answer.text, only);
            }
        }
    }

    fn server(&self) -> Result<&Server, String> {
        self.server
            .as_ref()
            .ok_or_else(|| "no server runs".to_owned())
    }

    fn api(&self) -> Result<Api, String> {
        Ok(Api {
            client: self.client.clone(),
            url: self.server()?.url.clone(),
            key: self.files.api_key.clone(),
        })
    }

    /// Stops the server and removes everything; after a failure the directory stays.
    async fn close(mut self, played: Result<(), String>) -> Result<(), String> {
        let stopped = match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        };
        let removed = self.stacks.remove().await;
        match played.and(stopped).and(removed) {
            Ok(()) => {
                self.files.remove()?;
                if self.told {
                    Ok(())
                } else {
                    Err("stopped before the end of the story".to_owned())
                }
            }
            Err(error) => {
                let log = child::tail(&self.launch.log);
                let kept: PathBuf = self.files.keep();
                Err(format!(
                    "{error}\nEverything is left in {}. The end of the server's log:\n{log}",
                    kept.display()
                ))
            }
        }
    }
}

fn introduce(screen: Screen) {
    screen.narrate(
        "Rave takes commands in chat and carries them out: checked, approved, in order, durable, \
         on record.",
    );
    screen.narrate(
        "The server below is the real one on an SQLite file. This demo types for ann (ops) and bob \
         (ops and on call) and plays Mattermost.",
    );
}

/// Ends when the demo is told to stop; also when its terminal is closed, because the server would
/// take that signal for an order to reload.
fn told_to_stop() -> Result<impl Future<Output = ()>, String> {
    let listen = |kind| signal(kind).map_err(|error| error.to_string());
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// What a future gives within a limit.
async fn wait_until<T>(
    what: &str,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, String> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_| format!("waited {} s in vain until {what}", limit.as_secs()))
}

/// Random bytes as hex digits.
fn random_hex(bytes: usize) -> Result<String, String> {
    let mut buffer = vec![0; bytes];
    crate::host::random(&mut buffer)?;
    Ok(hex::encode(buffer))
}
