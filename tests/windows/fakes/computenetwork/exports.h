/* What computenetwork.dll exports, and what its three files share. Signatures as in computenetwork.h. */
#ifndef FAKES_EXPORTS_H
#define FAKES_EXPORTS_H

#include <string.h>
#include "hcn.h"

void enumerate(const char *function, enum kind kind, struct api *api, const struct arguments *a);
void open_object(const char *function, enum kind kind, struct api *api, const struct arguments *a);
void query_object(const char *function, enum kind kind, struct api *api, const struct arguments *a);
void modify_object(const char *function, enum kind kind, struct api *api, const struct arguments *a);
struct object *object_to_delete(const char *function, enum kind kind, struct api *api, const struct arguments *a);
void close_object(const char *function, enum kind kind, struct api *api, void *handle);

EXPORT HRESULT WINAPI HcnEnumerateNetworks(PCWSTR, PWSTR *, PWSTR *);
EXPORT HRESULT WINAPI HcnCreateNetwork(REFGUID, PCWSTR, void **, PWSTR *);
EXPORT HRESULT WINAPI HcnOpenNetwork(REFGUID, void **, PWSTR *);
EXPORT HRESULT WINAPI HcnModifyNetwork(void *, PCWSTR, PWSTR *);
EXPORT HRESULT WINAPI HcnQueryNetworkProperties(void *, PCWSTR, PWSTR *, PWSTR *);
EXPORT HRESULT WINAPI HcnDeleteNetwork(REFGUID, PWSTR *);
EXPORT HRESULT WINAPI HcnCloseNetwork(void *);

EXPORT HRESULT WINAPI HcnEnumerateEndpoints(PCWSTR, PWSTR *, PWSTR *);
EXPORT HRESULT WINAPI HcnCreateEndpoint(void *, REFGUID, PCWSTR, void **, PWSTR *);
EXPORT HRESULT WINAPI HcnOpenEndpoint(REFGUID, void **, PWSTR *);
EXPORT HRESULT WINAPI HcnModifyEndpoint(void *, PCWSTR, PWSTR *);
EXPORT HRESULT WINAPI HcnQueryEndpointProperties(void *, PCWSTR, PWSTR *, PWSTR *);
EXPORT HRESULT WINAPI HcnQueryEndpointStats(void *, PCWSTR, PWSTR *, PWSTR *);
EXPORT HRESULT WINAPI HcnDeleteEndpoint(REFGUID, PWSTR *);
EXPORT HRESULT WINAPI HcnCloseEndpoint(void *);

EXPORT HRESULT WINAPI HcnEnumerateNamespaces(PCWSTR, PWSTR *, PWSTR *);
EXPORT HRESULT WINAPI HcnCreateNamespace(REFGUID, PCWSTR, void **, PWSTR *);
EXPORT HRESULT WINAPI HcnOpenNamespace(REFGUID, void **, PWSTR *);
EXPORT HRESULT WINAPI HcnModifyNamespace(void *, PCWSTR, PWSTR *);
EXPORT HRESULT WINAPI HcnQueryNamespaceProperties(void *, PCWSTR, PWSTR *, PWSTR *);
EXPORT HRESULT WINAPI HcnDeleteNamespace(REFGUID, PWSTR *);
EXPORT HRESULT WINAPI HcnCloseNamespace(void *);

#endif
