/** Examples of every message of the IPC protocol, as JSON text. */

const KEY = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

/** One of every operation, as a client may write it; all fields present. */
export const REQUESTS: readonly string[] = [
  '{"op":"set_local_node_id","node_id":18446744073709551615}',
  `{"op":"set_local_wg_pubkey","pubkey":"${KEY}"}`,
  '{"op":"setup_global_overlay","deployment":"prod","instance_id":"42","cluster_cidr":"10.200.0.0/16","slice_cidr":"10.200.0.0/28","wg_port":51420,"nat_enabled":true}',
  '{"op":"teardown_global_overlay"}',
  '{"op":"setup_service_overlay","service":"web","mode":"auto"}',
  '{"op":"setup_service_overlay","service":"web","mode":"shared"}',
  '{"op":"setup_service_overlay","service":"web","mode":"dedicated"}',
  '{"op":"teardown_service_overlay","service":"web"}',
  '{"op":"allocate_ip","service":"web","join_global":false}',
  '{"op":"release_ip","ip":"fd00::5"}',
  '{"op":"attach_container","handle":{"platform":"linux_pid","pid":4242},"service":"web","join_global":true}',
  '{"op":"attach_container","handle":{"platform":"windows_container","container_id":"c1","ip":"10.200.0.9"},"service":"web","join_global":false,"dns_server":"10.200.0.1","dns_domain":"zlayer.local"}',
  '{"op":"attach_container","handle":{"platform":"guest_managed","id":"vm1"},"service":"web","join_global":true}',
  '{"op":"detach_container","handle":{"platform":"windows_container","container_id":"c1"}}',
  `{"op":"add_peer","public_key":"${KEY}","endpoint":"198.51.100.7:51420","allowed_ips":"10.200.0.5/32,10.200.1.0/24","persistent_keepalive_secs":25,"scope":{"scope":"service","service":"web"}}`,
  `{"op":"add_peer","public_key":"${KEY}","endpoint":"[2001:db8::7]:51420","allowed_ips":"","persistent_keepalive_secs":0,"scope":{"scope":"global"}}`,
  `{"op":"remove_peer","pubkey":"${KEY}"}`,
  `{"op":"add_allowed_ip","pubkey":"${KEY}","cidr":"10.0.0.0/8","scope":{"scope":"global"}}`,
  `{"op":"remove_allowed_ip","pubkey":"${KEY}","cidr":"10.0.0.0/8"}`,
  '{"op":"register_dns","name":"web.zlayer.local","ip":"10.200.0.5"}',
  '{"op":"unregister_dns","name":"web.zlayer.local"}',
  '{"op":"status"}',
  '{"op":"status","detail":true}',
  '{"op":"nat_tick"}',
  '{"op":"shutdown"}',
];

const PEER = `{"public_key":"${KEY}","endpoint":"198.51.100.7:51420","allowed_ips":"10.200.0.5/32"`;

/** One of every response, all optional fields once present and once left out. */
export const RESPONSES: readonly string[] = [
  '{"result":"ok"}',
  '{"result":"ip","ip":"10.200.0.5"}',
  '{"result":"attached","ip":"10.200.0.5"}',
  '{"result":"attached","ip":"10.200.0.5","namespace_guid":"6c1f0d3e-1111-4222-8333-944455556666"}',
  `{"result":"guest_config","overlay_ip":"10.200.0.7","prefix_len":16,"private_key":"${KEY}","public_key":"${KEY}","listen_port":51420,"peers":[${PEER},"persistent_keepalive_secs":25}],"dns_server":"10.200.0.1","dns_domain":"zlayer.local"}`,
  `{"result":"guest_config","overlay_ip":"10.200.0.7","prefix_len":16,"private_key":"${KEY}","public_key":"${KEY}","listen_port":51420,"peers":[]}`,
  '{"result":"bridge_name","name":"zl-overlay0"}',
  '{"result":"service_overlay","name":"zl-web","mode":"shared"}',
  `{"result":"service_overlay","name":"zl-web","mode":"dedicated","wg_public_key":"${KEY}","wg_port":51421,"overlay_ip":"10.200.4.17","subnet":"10.200.4.16/28"}`,
  '{"result":"status","overlay_cidr":"10.200.0.0/16","peer_count":0,"service_count":0}',
  `{"result":"status","interface":"zl-overlay0","node_ip":"10.200.0.1","public_key":"${KEY}","overlay_cidr":"10.200.0.0/16","slice_cidr":"10.200.0.0/28","peer_count":1,"service_count":1,"peers":[${PEER},"last_handshake_unix_secs":1763770000}],"dedicated_services":[{"service":"web","interface":"zl-web0","public_key":"${KEY}","listen_port":51421,"overlay_ip":"10.200.4.17","subnet":"10.200.4.16/28","peer_count":2}]}`,
  '{"result":"err","message":"global overlay not set up"}',
  '{"result":"err","message":"global overlay not set up","code":"precondition_failed"}',
];

/** One of every event, as whole frames. */
export const EVENTS: readonly string[] = [
  '{"frame":"event","event":"peer_health_changed","pubkey":"k","healthy":false}',
  '{"frame":"event","event":"nat_endpoint_changed","pubkey":"k","endpoint":"198.51.100.7:51420"}',
];

/** The body of a request frame. */
export function requestFrame(request: string, id: bigint | number | string = 7): string {
  return `{"frame":"request","id":${id},"request":${request}}`;
}
