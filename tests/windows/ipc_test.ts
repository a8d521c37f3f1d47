/** The tests of the IPC layer, over a named pipe. */

import "../ipc/client_test.ts";
import "../ipc/server_test.ts";
import "../ipc/server_limits_test.ts";
