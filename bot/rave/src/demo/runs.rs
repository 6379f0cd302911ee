//! Runs as the API shows them: what the demo checks the story by.

use jiff::Timestamp;
use reqwest::StatusCode;
use serde::Deserialize;

/// The way to the API.
pub(super) struct Api {
    pub(super) client: reqwest::Client,
    pub(super) url: String,
    pub(super) key: String,
}

/// A run, as far as the story is about it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RunView {
    pub(super) state: String,
    pub(super) steps: Vec<StepView>,
}

/// A step of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct StepView {
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) role: String,
    pub(super) state: String,
    pub(super) attempts: u32,
    pub(super) started_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
}

impl Api {
    /// A run as it stands now.
    pub(super) async fn run(&self, id: &str) -> Result<RunView, String> {
        let problem = |error: reqwest::Error| format!("the API does not show {id}: {error}");
        let response = self
            .client
            .get(format!("{}/api/v1/runs/{id}", self.url))
            .header("X-API-Key", &self.key)
            .send()
            .await
            .map_err(problem)?;
        let status = response.status();
        let body = response.text().await.map_err(problem)?;
        if status != StatusCode::OK {
            return Err(format!("the API does not show {id}: {status}, {body}"));
        }
        serde_json::from_str(&body)
            .map_err(|error| format!("the API shows {id} in another form: {error}: {body}"))
    }
}

impl RunView {
    /// Whether it is over.
    pub(super) fn has_ended(&self) -> bool {
        ["succeeded", "failed", "cancelled"].contains(&self.state.as_str())
    }

    pub(super) fn step(&self, number: u64) -> Option<&StepView> {
        self.steps.iter().find(|step| step.number == number)
    }

    /// The states of all steps, for messages.
    pub(super) fn in_short(&self) -> String {
        let steps: Vec<String> = self
            .steps
            .iter()
            .map(|step| format!("{} {}", step.title, step.state))
            .collect();
        format!("{}: {}", self.state, steps.join(", "))
    }

    /// Whether each step began after the one before it had ended.
    pub(super) fn ran_in_order(&self) -> bool {
        self.steps.windows(2).all(|pair| match pair {
            [first, second] => first.ended_at.is_some() && first.ended_at <= second.started_at,
            _ => true,
        })
    }
}

/// The first run id in a message.
pub(super) fn id_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("run_")?;
    let id: String = rest
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    (!id.is_empty()).then(|| format!("run_{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_ends_where_its_letters_end() {
        assert_eq!(id_in("#### run_01ab: shop"), Some("run_01ab".to_owned()));
        assert_eq!(id_in("no run here, run_"), None);
    }
}
