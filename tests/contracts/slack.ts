// What Rave sends to Slack, by kind, in the terms of @slack/types, @slack/web-api and @slack/bolt.

import type { RespondArguments, ViewResponseAction } from "@slack/bolt";
import type { KnownBlock, ModalView } from "@slack/types";
import type {
  ChatPostEphemeralArguments,
  ChatPostMessageArguments,
  ChatUpdateArguments,
  ConversationsHistoryArguments,
  ConversationsRepliesArguments,
  FilesCompleteUploadExternalArguments,
  FilesGetUploadURLExternalArguments,
  ViewsOpenArguments,
} from "@slack/web-api";

// The packages also let any object with a `type` pass as a block; Rave's are of the known ones.
// Written out as one object each, because the compiler looks for unknown fields less deep in types
// that are put together.
type Exact<T> = T extends unknown
  ? { [K in keyof T]: K extends "blocks" ? KnownBlock[] : K extends "view" ? Modal : T[K] }
  : never;
type Modal = { [K in keyof ModalView]: K extends "blocks" ? KnownBlock[] : ModalView[K] };
type Answer = Exact<RespondArguments>;
type ResponseAction<Action extends string> = Exact<
  Extract<ViewResponseAction, { response_action: Action }>
>;

export interface Kinds {
  "slack answer command": Answer;
  "slack response_url": Answer & { replace_original: false };
  "slack response_action errors": ResponseAction<"errors">;
  "slack response_action update": ResponseAction<"update">;
  // Ours: Slack's packages have no answer to `url_verification`, which is its `challenge`. Of what
  // is answered to other events Slack reads nothing; Rave answers them as commands.
  "slack answer event": { challenge: string } | Answer;
  // Ours: nor the acknowledgement of an envelope of Socket Mode. What is in its `payload` is
  // checked as an answer.
  "slack acknowledgement": { envelope_id: string; payload?: object };
  "slack chat.postMessage": Exact<ChatPostMessageArguments>;
  "slack chat.postEphemeral": Exact<ChatPostEphemeralArguments>;
  "slack chat.update": Exact<ChatUpdateArguments>;
  "slack views.open": Exact<ViewsOpenArguments>;
  "slack files.getUploadURLExternal": FilesGetUploadURLExternalArguments;
  "slack files.completeUploadExternal": FilesCompleteUploadExternalArguments;
  "slack conversations.history": ConversationsHistoryArguments;
  "slack conversations.replies": ConversationsRepliesArguments;
  // Ours: it takes nothing but the token, which goes into a header; the package takes any object.
  "slack apps.connections.open": Record<string, never>;
}
