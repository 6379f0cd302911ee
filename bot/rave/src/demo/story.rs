//! What happens in the demo, turn by turn. Each turn is checked before the next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::chat::{Answer, Post};
use super::files::{CHAIN, SICK};
use super::runs::{RunView, StepView, id_in};
use super::{Stage, wait_until};

/// The longest that a run of the story may take, on a machine that is busy with something else.
const RUN: Duration = Duration::from_secs(180);

/// A message that is due is sent at once.
const MESSAGE: Duration = Duration::from_secs(20);

/// The stacks begin with release 1.
const NEXT_RELEASE: u32 = 2;

/// How often the demo looks at a run.
const LOOK: Duration = Duration::from_millis(25);

/// What has been printed of a run.
struct Seen {
    /// The answer to its approval.
    answer: Answer,
    /// The state of each step, and how often it was tried.
    steps: BTreeMap<u64, (String, u32)>,
    /// The message that says how it ended.
    end: bool,
}

/// What the summary tells.
#[derive(Default)]
struct Told {
    order: String,
    undone: String,
    survived: String,
    audit: String,
}

impl Stage {
    /// The whole story.
    pub(super) async fn tell(&mut self) -> Result<(), String> {
        self.screen.narrate(&self.stacks.sentence());
        self.stacks.prepare(&self.files).await?;
        self.server = Some(self.launch.start().await?);
        let told = Told {
            order: self.rollout_with_approval().await?,
            undone: self.rollout_that_fails().await?,
            survived: self.killed_in_the_middle().await?,
            audit: {
                self.typo().await?;
                self.audit().await?
            },
        };
        let refused = self.chat.refused();
        expect(refused.is_empty(), || {
            format!(
                "Mattermost would have refused messages: {}",
                refused.join("; ")
            )
        })?;
        self.sum_up(&told);
        Ok(())
    }

    async fn rollout_with_approval(&self) -> Result<String, String> {
        self.screen.scene("Two stacks, one leaning on the other");
        let [first, second, _] = CHAIN;
        let run = self.ask_for(second).await?;
        let approve = format!("approve {run}");
        let own = self.ask("ann", &approve).await?;
        expect(
            own.text.contains("approval_refused") && own.is_private(),
            || "ann could approve her own request".to_owned(),
        )?;
        let waiting = self.api()?.run(&run).await?;
        expect(waiting.state == "awaiting_approval", || {
            format!("after ann's try the run is {}", waiting.in_short())
        })?;
        let ended = self.approved_to_the_end(&run).await?;
        expect(ended.state == "succeeded", || ended.in_short())?;
        let titles: Vec<&str> = ended.steps.iter().map(|step| step.title.as_str()).collect();
        let order = [format!("rollout_{first}"), format!("rollout_{second}")];
        expect(titles == order && ended.ran_in_order(), || {
            format!("the steps did not run in order: {}", ended.in_short())
        })?;
        Ok(format!(
            "{first}, then {second}; ann could not approve it herself, bob did"
        ))
    }

    async fn rollout_that_fails(&self) -> Result<String, String> {
        self.screen.scene("A rollout that fails, and is undone");
        let before = self.stacks.running(SICK).await?;
        let run = self.ask_for(SICK).await?;
        let ended = self.approved_to_the_end(&run).await?;
        expect(ended.state == "failed", || ended.in_short())?;
        let undo = ended.steps.iter().find(|step| step.role == "undo");
        expect(undo.is_some_and(|undo| undo.state == "succeeded"), || {
            format!("nothing was undone: {}", ended.in_short())
        })?;
        let after = self.stacks.running(SICK).await?;
        expect(before == after, || {
            format!("{SICK} is not as it was: {before:?} before, {after:?} after")
        })?;
        let after = after.join(", ");
        self.screen
            .remark(&format!("What runs of {SICK} is what ran before: {after}."));
        Ok(format!(
            "the failed rollout of {SICK}; what ran before runs again"
        ))
    }

    async fn killed_in_the_middle(&mut self) -> Result<String, String> {
        self.screen
            .scene("The server is killed in the middle of a run");
        self.stacks.publish(&self.files, NEXT_RELEASE)?;
        let [.., last] = CHAIN;
        let run = self.ask_for(last).await?;
        let mut seen = self.approve(&run).await?;
        let is_in_the_middle =
            |view: &RunView| view.step(2).is_some_and(|step| step.state == "running");
        let at_kill = self.follow(&run, &mut seen, is_in_the_middle).await?;
        let restarted = self.kill_and_restart().await?;
        self.screen.remark(&format!(
            "Started again: it has read its journal and goes on after {} ms.",
            restarted.as_millis()
        ));
        self.screen.blank();
        let ended = self.to_the_end(&run, &mut seen).await?;
        expect(ended.state == "succeeded", || ended.in_short())?;
        let again = nothing_twice(&at_kill, &ended)?;
        for (stack, times) in CHAIN.into_iter().zip([2, 2, 1]) {
            self.stacks
                .was_rolled_out(stack, times, NEXT_RELEASE)
                .await?;
        }
        self.screen.remark(&format!(
            "Honest about it: {} was interrupted, so it took attempt 2. What had succeeded before \
             was not done again.",
            again.title
        ));
        Ok(format!(
            "SIGKILL in the middle of {}: attempt 2, nothing else twice",
            again.title
        ))
    }

    async fn kill_and_restart(&mut self) -> Result<Duration, String> {
        let server = self.server.take().ok_or("no server runs")?;
        self.screen.remark(&format!(
            "kill -KILL {}: the server is gone in the middle of it, as in a power cut.",
            server.pid
        ));
        let old = server.url.clone();
        let how = server.kill().await?;
        let answer = self.client.get(format!("{old}/healthz")).send().await;
        expect(answer.is_err(), || {
            format!("the server answers although it ended with {how}")
        })?;
        let begun = Instant::now();
        self.server = Some(self.launch.start().await?);
        Ok(begun.elapsed())
    }

    async fn typo(&self) -> Result<(), String> {
        self.screen.scene("A typo");
        let answer = self.ask("ann", "rolout shop").await?;
        let text = answer.text.to_lowercase();
        expect(
            text.contains("did you mean") && text.contains("rollout shop"),
            || "the typo got no suggestion".to_owned(),
        )
    }

    /// Checks the chain with the subcommand, as a reader would.
    async fn audit(&self) -> Result<String, String> {
        self.screen.scene("The audit trail");
        let config = self.files.at("rave.toml");
        self.screen.blank();
        self.screen
            .command("  $ rave audit verify --config rave.toml");
        let verified = Command::new(&self.launch.program)
            .args(["audit", "verify", "--config"])
            .arg(&config)
            .env_clear()
            .kill_on_drop(true)
            .output();
        let verified = wait_until("the audit trail is verified", MESSAGE, verified)
            .await?
            .map_err(|error| format!("`rave audit verify` does not start: {error}"))?;
        let said = String::from_utf8_lossy(&verified.stdout).trim().to_owned();
        self.screen.printed(&said);
        let errors = String::from_utf8_lossy(&verified.stderr);
        expect(
            verified.status.success() && said.contains("consistent"),
            || format!("the audit trail does not verify: {said}{errors}"),
        )?;
        let rows = said.split(' ').next().unwrap_or_default().to_owned();
        Ok(format!(
            "{rows} rows of who, what and why, in one unbroken chain"
        ))
    }

    fn sum_up(&self, told: &Told) {
        let screen = self.screen;
        screen.scene(&format!(
            "That was it, in {:.1} s",
            self.started.elapsed().as_secs_f64()
        ));
        screen.blank();
        screen.entry("rolled out", &told.order);
        screen.entry("undone", &told.undone);
        screen.entry("survived", &told.survived);
        screen.entry("on record", &told.audit);
        screen.entry(
            "next",
            "README.md shows how to use Rave for your own stacks",
        );
    }

    /// ann asks for a rollout and sees the plan.
    async fn ask_for(&self, stack: &str) -> Result<String, String> {
        let answer = self.ask("ann", &format!("rollout {stack}")).await?;
        let asked = format!("rollout_{stack}");
        let shown = [asked.as_str(), "awaits approval", "Touches", "web of"];
        for word in shown {
            expect(answer.text.contains(word), || {
                format!("the plan of rollout {stack} does not say {word:?}")
            })?;
        }
        id_in(&answer.text).ok_or_else(|| format!("rollout {stack} made no run"))
    }

    async fn approve(&self, run: &str) -> Result<Seen, String> {
        let answer = self.ask("bob", &format!("approve {run}")).await?;
        expect(answer.text.contains(run) && !answer.is_private(), || {
            "bob could not approve".to_owned()
        })?;
        Ok(Seen {
            answer,
            steps: BTreeMap::new(),
            end: false,
        })
    }

    async fn approved_to_the_end(&self, run: &str) -> Result<RunView, String> {
        let mut seen = self.approve(run).await?;
        self.to_the_end(run, &mut seen).await
    }

    /// Follows a run until it is over and ann has been told so.
    async fn to_the_end(&self, run: &str, seen: &mut Seen) -> Result<RunView, String> {
        let ended = self.follow(run, seen, RunView::has_ended).await?;
        let told = async {
            while !seen.end {
                self.chat.arrival().await;
                self.show_posts(run, seen, self.posts());
            }
        };
        wait_until(&format!("ann is told how {run} ended"), MESSAGE, told).await?;
        Ok(ended)
    }

    /// Somebody types a command and sees the answer.
    async fn ask(&self, who: &str, text: &str) -> Result<Answer, String> {
        self.screen.typed(who, &format!("/rave {text}"));
        let url = &self.server()?.url;
        let answer = self.chat.type_command(url, who, text).await?;
        self.screen
            .answered(&answer.text, answer.is_private().then_some(who));
        Ok(answer)
    }

    /// Shows what happens to a run until something holds.
    async fn follow(
        &self,
        run: &str,
        seen: &mut Seen,
        until: impl Fn(&RunView) -> bool,
    ) -> Result<RunView, String> {
        let api = self.api()?;
        let mut look = tokio::time::interval(LOOK);
        let following = async {
            loop {
                look.tick().await;
                // A view that is taken after a message knows what the message tells.
                let posts = self.posts();
                let view = api.run(run).await?;
                self.show_steps(&view, seen);
                self.show_posts(run, seen, posts);
                if until(&view) {
                    return Ok(view);
                }
                if view.has_ended() {
                    return Err(format!("the run ended too early: {}", view.in_short()));
                }
            }
        };
        wait_until(&format!("{run} goes on"), RUN, following).await?
    }

    fn show_steps(&self, view: &RunView, seen: &mut Seen) {
        for step in &view.steps {
            let state = match step.state.as_str() {
                "pending" => continue,
                // The claim is what makes it durable that the step begins now.
                "claimed" => "running",
                other => other,
            };
            let now = (state.to_owned(), step.attempts);
            if seen.steps.get(&step.number) == Some(&now) {
                continue;
            }
            seen.steps.insert(step.number, now);
            let again = match step.attempts {
                0 | 1 => String::new(),
                attempt => format!(", attempt {attempt}"),
            };
            self.screen.progress(&format!(
                "step {}, {}: {state}{again}",
                step.number, step.title
            ));
        }
    }

    fn posts(&self) -> Vec<Post> {
        std::iter::from_fn(|| self.chat.take_post()).collect()
    }

    fn show_posts(&self, run: &str, seen: &mut Seen, posts: Vec<Post>) {
        for post in posts {
            let only = post.answer.is_private().then_some(post.asker.as_str());
            if same_but_for_numbers(&post.answer.text, &seen.answer.text) {
                self.screen
                    .answered(&format!("(the same, for {})", post.asker), None);
            } else {
                self.screen.answered(&post.answer.text, only);
            }
            seen.end |= is_the_end_of(run, &post);
        }
    }
}

/// A run that has just started looks the same to the person who approved and to the one who asked.
fn same_but_for_numbers(one: &str, other: &str) -> bool {
    let words = |text: &str| text.replace(|c: char| c.is_ascii_digit() || c == '.', "");
    words(one) == words(other)
}

fn is_the_end_of(run: &str, post: &Post) -> bool {
    let first = post.answer.text.lines().next().unwrap_or_default();
    first.contains(run) && (first.ends_with("succeeded.") || first.ends_with("failed."))
}

/// That the interrupted step is the only one that was tried again; gives it.
fn nothing_twice<'a>(at_kill: &RunView, ended: &'a RunView) -> Result<&'a StepView, String> {
    for before in at_kill
        .steps
        .iter()
        .filter(|step| step.state == "succeeded")
    {
        expect(ended.step(before.number) == Some(before), || {
            format!("{} was done again after the restart", before.title)
        })?;
    }
    let again: Vec<&StepView> = ended
        .steps
        .iter()
        .filter(|step| step.attempts != 1)
        .collect();
    match again.as_slice() {
        [step] if step.attempts == 2 => Ok(step),
        _ => Err(format!(
            "not exactly one step was tried again: {}",
            ended.in_short()
        )),
    }
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
