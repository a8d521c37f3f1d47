/** What a purge removes: only what this installation's tag is on, and only files of ours. Pure. */
import type { HostSettings, InventoryEntry } from "../backend/backend.ts";

/** What is found on the host. */
export interface PurgeFindings {
  /** Kernel objects that are tagged or look like ours. */
  readonly inventory: readonly InventoryEntry[];
  /** Former values of host-wide settings that the daemon changed. */
  readonly hostSettings: HostSettings;
  /** Files of ours that exist, as paths. */
  readonly files: readonly string[];
}

/** What to do, in order: objects, then settings, then files. */
export interface PurgePlan {
  /** Host ends of containers first, then devices, then the bridges they were ports of. */
  readonly objects: readonly InventoryEntry[];
  readonly hostSettings: HostSettings;
  readonly files: readonly string[];
  /** Looks like ours and stays: another installation's, or without a tag. */
  readonly left: readonly { readonly name: string; readonly why: string }[];
}

const ORDER: Readonly<Record<InventoryEntry["kind"], number>> = {
  veth: 0,
  other: 1,
  tun: 2,
  wireguard: 3,
  bridge: 4,
};

/**
 * Makes the plan.
 *
 * @param isOurs Whether a tag is of this installation, under any deployment.
 */
export function planPurge(findings: PurgeFindings, isOurs: (tag: string) => boolean): PurgePlan {
  const objects = findings.inventory.filter((entry) => isOurs(entry.tag));
  return {
    objects: objects.toSorted((a, b) => ORDER[a.kind] - ORDER[b.kind] || compare(a.name, b.name)),
    hostSettings: findings.hostSettings,
    files: findings.files,
    left: findings.inventory.filter((entry) => !isOurs(entry.tag)).map((entry) => ({
      name: entry.name,
      why: entry.tag === "" ? "carries no tag of zlayer-overlayd" : `belongs to ${entry.tag}`,
    })),
  };
}

/** Whether there is nothing to do. */
export function isEmptyPlan(plan: PurgePlan): boolean {
  return plan.objects.length + plan.files.length + Object.keys(plan.hostSettings).length === 0;
}

/** The plan as lines for people: one step each, then what stays. */
export function describePlan(plan: PurgePlan, verb: "remove" | "would remove"): string[] {
  const restore = verb === "remove" ? "restore" : "would restore";
  return [
    ...plan.objects.map((entry) => `${verb} ${entry.kind} ${entry.name}`),
    ...Object.entries(plan.hostSettings).map(([name, value]) => `${restore} ${name} = ${value}`),
    ...plan.files.map((path) => `${verb} ${path}`),
    ...plan.left.map(({ name, why }) => `leave ${name}: ${why}`),
  ];
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
