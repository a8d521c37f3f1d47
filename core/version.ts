/** The version of this program, read from deno.json so that there is one place to change it. */
import config from "../deno.json" with { type: "json" };

/** As in `zlayer-overlayd --version`. */
export const VERSION: string = config.version;
