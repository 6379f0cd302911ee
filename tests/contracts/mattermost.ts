// What Rave sends to Mattermost, by kind, in the terms of @mattermost/types.
//
// The package describes what the web client gets from the server. What a client leaves out, and
// what the server keeps from clients, is said here.

import type { Bot } from "@mattermost/types/bots";
import type { Channel, ChannelMembership } from "@mattermost/types/channels";
import type {
  Command,
  CommandResponse,
  Dialog,
  DialogElement,
  OpenDialogRequest,
  SubmitDialogResponse,
} from "@mattermost/types/integrations";
import type { PostAction } from "@mattermost/types/integration_actions";
import type { MessageAttachment } from "@mattermost/types/message_attachments";
import type { Post } from "@mattermost/types/posts";
import type { Team, TeamMembership } from "@mattermost/types/teams";
import type { UserAccessToken } from "@mattermost/types/users";

// Ours: the package has no `integration`, which the server does not show to clients
// ("Interactive messages": `url` and `context` of an action).
type Button = PostAction & {
  integration: { url: string; context: Record<string, string | number> };
};

// `props` is open in the package: `attachments` is the vendor's, `rave_…` marks are Rave's own.
interface Props {
  [mark: `rave_${string}`]: string;
  attachments?: (Omit<MessageAttachment, "actions"> & { actions: Button[] })[];
}

// The values of Rave's options are texts; the package takes any.
type Element = Pick<DialogElement, "name" | "display_name" | "type"> &
  Partial<Omit<DialogElement, "options">> & { options?: { text: string; value: string }[] };

// An empty answer shows nothing.
type Answer = Partial<CommandResponse>;

// Ours: the package has no answer to a button ("Interactive messages": `update`,
// `ephemeral_text`, `skip_slack_parsing`).
interface PressAnswer {
  ephemeral_text?: string;
  skip_slack_parsing?: boolean;
}

export interface Kinds {
  "mattermost answer command": Answer;
  "mattermost answer action": PressAnswer;
  "mattermost answer dialog": SubmitDialogResponse;
  "mattermost answer dialog with errors": SubmitDialogResponse &
    ({ error: string } | { errors: Record<string, string> });
  "mattermost POST /hooks/commands/*": Answer;
  "mattermost POST /api/v4/posts": Pick<Post, "channel_id" | "message"> &
    Partial<Pick<Post, "root_id" | "file_ids">> & { props: Props };
  "mattermost PUT /api/v4/posts/*/patch": Pick<Post, "message"> & { props: Props };
  "mattermost POST /api/v4/actions/dialogs/open": Omit<OpenDialogRequest, "dialog"> & {
    dialog: Omit<Dialog, "elements"> & { elements: Element[] };
  };
  // Ours: the two users of a direct conversation ("CreateDirectChannel").
  "mattermost POST /api/v4/channels/direct": [string, string];

  // `rave setup mattermost`
  "mattermost POST /api/v4/teams": Pick<Team, "name" | "display_name" | "type">;
  "mattermost POST /api/v4/channels": Pick<
    Channel,
    "team_id" | "name" | "display_name" | "type" | "purpose"
  >;
  "mattermost POST /api/v4/commands": Partial<Command> &
    Pick<Command, "team_id" | "trigger" | "method" | "url">;
  "mattermost PUT /api/v4/commands/*": Partial<Command> &
    Pick<Command, "id" | "team_id" | "trigger" | "method" | "url" | "token">;
  "mattermost POST /api/v4/bots": Pick<Bot, "username" | "display_name" | "description">;
  "mattermost POST /api/v4/users/*/tokens": Pick<UserAccessToken, "description">;
  "mattermost POST /api/v4/teams/*/members": Pick<TeamMembership, "team_id" | "user_id">;
  "mattermost POST /api/v4/channels/*/members": Pick<ChannelMembership, "user_id">;
}
