// What Rave sends to Discord, by kind, in the terms of discord-api-types (API version 10).

import type {
  APIAllowedMentions,
  APIApplicationCommandAutocompleteResponse,
  APIInteractionResponseChannelMessageWithSource,
  APIInteractionResponseDeferredChannelMessageWithSource,
  APIInteractionResponsePong,
  APIModalInteractionResponse,
  GatewayHeartbeat,
  GatewayIdentify,
  GatewayResume,
  RESTPatchAPIChannelMessageJSONBody,
  RESTPatchAPIInteractionOriginalResponseJSONBody,
  RESTPostAPIApplicationGuildCommandsJSONBody,
  RESTPostAPIChannelMessageJSONBody,
  RESTPostAPIChatInputApplicationCommandsJSONBody,
  RESTPostAPICurrentUserCreateDMChannelJSONBody,
  RESTPostAPIInteractionFollowupJSONBody,
  RESTPostAPIWebhookWithTokenJSONBody,
} from "discord-api-types/v10";

// The package has its enumerations as TypeScript's, which take no texts; on the wire they are texts.
type Wire<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Wire<T[K]> } : T;

// Without `parse` a text may mention people.
type Message<T> = {
  [K in keyof T as Exclude<K, "allowed_mentions" | "sticker_ids">]: Wire<T[K]>;
} & {
  allowed_mentions: Wire<APIAllowedMentions> & { parse: [] };
  // The package has one to three of them; none at all is sent as an empty list.
  sticker_ids?: [];
};

export interface Kinds {
  "discord callback 1": APIInteractionResponsePong;
  "discord callback 4": {
    type: APIInteractionResponseChannelMessageWithSource["type"];
    data: Message<APIInteractionResponseChannelMessageWithSource["data"]>;
  };
  "discord callback 5": APIInteractionResponseDeferredChannelMessageWithSource;
  "discord callback 8": APIApplicationCommandAutocompleteResponse;
  "discord callback 9": APIModalInteractionResponse;
  "discord POST /channels/*/messages": Message<RESTPostAPIChannelMessageJSONBody>;
  "discord PATCH /channels/*/messages/*": Message<RESTPatchAPIChannelMessageJSONBody>;
  "discord POST /webhooks/*/*": Message<RESTPostAPIInteractionFollowupJSONBody>;
  "discord PATCH /webhooks/*/*/messages/*": Message<RESTPatchAPIInteractionOriginalResponseJSONBody>;
  "discord POST /users/@me/channels": RESTPostAPICurrentUserCreateDMChannelJSONBody;
  "discord POST /applications/*/guilds/*/commands": RESTPostAPIApplicationGuildCommandsJSONBody &
    RESTPostAPIChatInputApplicationCommandsJSONBody;
  "discord audit webhook": Message<RESTPostAPIWebhookWithTokenJSONBody>;
  "discord gateway 1": GatewayHeartbeat;
  "discord gateway 2": GatewayIdentify;
  "discord gateway 6": GatewayResume;
}
