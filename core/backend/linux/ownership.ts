/** How links show that they are ours. */

import type { LinkSummary } from "../../../ffi/netlink/link.ts";
import { AlreadyExistsError } from "../../errors.ts";
import type { OwnerTag } from "../backend.ts";

/** Start of every owner tag. */
export const TAG_PREFIX = "zlayer-overlayd/";

/**
 * `IFLA_GROUP` of a link between its creation and its tagging ("zl", 1). The kernel takes the group but not the
 * alias while it makes a link, so this is what tells a half-made link of ours, left by a crash, from another's.
 */
export const NEWBORN_GROUP = 0x7a6c_0001;

/** The link's owner tag, empty if it has none. */
export function tagOf(link: Pick<LinkSummary, "alias">): OwnerTag {
  return link.alias ?? "";
}

/** Whether the link carries the tag, or is half-made and by its name meant to. */
export function isOwnedBy(link: LinkSummary, tag: OwnerTag): boolean {
  return tagOf(link) === tag || (tagOf(link) === "" && link.group === NEWBORN_GROUP);
}

/** The refusal to touch a link that is another's. */
export function foreignLink(link: LinkSummary): AlreadyExistsError {
  const kind = link.info?.kind ?? "physical";
  const owner = tagOf(link) === "" ? "not made by this daemon" : `owned by ${tagOf(link)}`;
  return new AlreadyExistsError(
    `Kernel link '${link.name}' already exists: kind ${kind}, ${owner}; rename or delete it`,
  );
}
