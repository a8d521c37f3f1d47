/** The Linux backend keeps the contract of every backend. */

import { backendContract } from "../../contract/backend_contract.ts";
import { openLinuxRig } from "../../support/linux_rig.ts";

backendContract("LinuxBackend", openLinuxRig);
