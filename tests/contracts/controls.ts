// Payloads that are wrong on purpose, where it is the value and not the name of a field that is
// wrong. Where the compiler takes one of them, the check would take a fault of Rave's.

import type { Kinds as Discord } from "./discord";
import type { Kinds as Mattermost } from "./mattermost";
import type { Kinds as Slack } from "./slack";

type Elements = Extract<Slack["slack views.open"]["view"]["blocks"][number], { type: "actions" }>["elements"];
type Components = Discord["discord callback 4"]["data"]["components"];
type Props = Mattermost["mattermost POST /api/v4/posts"]["props"];
type Dialog = Mattermost["mattermost POST /api/v4/actions/dialogs/open"]["dialog"];
type Command = Discord["discord POST /applications/*/guilds/*/commands"];

const text = { type: "plain_text", text: "Approve" } as const;
const integration = { url: "https://rave.example.com", context: {} };

// Right, so that it is not the frame that is refused below.
export const elements: Elements = [{ type: "button", text, style: "danger" }];
export const components: Components = [{ type: 1, components: [{ type: 2, style: 4, label: "l", custom_id: "c" }] }];
export const props: Props = { attachments: [{ actions: [{ name: "Deny", integration }] }] };
export const dialog: Dialog = { title: "t", elements: [{ name: "n", display_name: "d", type: "text", max_length: 150 }] };
export const command: Command = { name: "rave", description: "d", options: [{ type: 4, name: "n", description: "d", min_value: 1 }] };

// @ts-expect-error: a style that there is not
export const style: Elements = [{ type: "button", text, style: "red" }];
// @ts-expect-error: a type that there is not
export const type: Elements = [{ type: "knob", text }];
// @ts-expect-error: Markdown where plain text is wanted
export const label: Elements = [{ type: "button", text: { type: "mrkdwn", text: "x" } }];

// @ts-expect-error: a button without its id
export const id: Components = [{ type: 1, components: [{ type: 2, style: 4, label: "l" }] }];
// @ts-expect-error: a style that there is not
export const shade: Components = [{ type: 1, components: [{ type: 2, style: 9, label: "l", custom_id: "c" }] }];
// @ts-expect-error: an answer of another type
export const kind: Discord["discord callback 9"] = { type: 4, data: { custom_id: "c", title: "t", components: [] } };
// @ts-expect-error: a bound that is a text
export const bound: Command = { name: "rave", description: "d", options: [{ type: 4, name: "n", description: "d", min_value: "1" }] };

// @ts-expect-error: a name that is a number
export const name: Props = { attachments: [{ actions: [{ name: 1, integration }] }] };
// @ts-expect-error: a length that is a text
export const length: Dialog = { title: "t", elements: [{ name: "n", display_name: "d", type: "text", max_length: "150" }] };
