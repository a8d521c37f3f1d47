/** The contract of container networks, through worker and FFI on the rig's computenetwork.dll. */
import { containersContract } from "../../contract/containers/contract.ts";
import { LibraryRig } from "../support/library_rig.ts";

containersContract("HcnContainers on computenetwork.dll", () => Promise.resolve(new LibraryRig()));
