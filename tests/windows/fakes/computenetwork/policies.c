/* Policies: which types there are, and what the settings of those we use must hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hcn.h"

struct json *adapters;

enum type { TEXT, TEXTS, PREFIX, PREFIXES, ADDRESS, NUMBER16, NUMBER32, FLAG };

struct setting {
    const char *policy, *name;
    enum type type;
    bool required;
};

static const struct setting SETTINGS[] = {
    { "OutBoundNAT", "VirtualIP", ADDRESS, false },
    { "OutBoundNAT", "Exceptions", PREFIXES, false },
    { "OutBoundNAT", "Destinations", PREFIXES, false },
    { "OutBoundNAT", "Flags", NUMBER32, false },
    { "OutBoundNAT", "MaxPortPoolUsage", NUMBER16, false },
    { "SDNRoute", "DestinationPrefix", PREFIX, true },
    { "SDNRoute", "NextHop", ADDRESS, false },
    { "SDNRoute", "NeedEncap", FLAG, true },
    { "ACL", "Action", TEXT, true },
    { "ACL", "Direction", TEXT, true },
    { "ACL", "RuleType", TEXT, true },
    { "ACL", "Priority", NUMBER16, true },
    { "ACL", "Protocols", TEXT, false },
    { "ACL", "LocalAddresses", TEXT, false },
    { "ACL", "RemoteAddresses", TEXT, false },
    { "ACL", "LocalPorts", TEXT, false },
    { "ACL", "RemotePorts", TEXT, false },
    { "NetAdapterName", "NetworkAdapterName", TEXT, true },
};

/* Types whose settings are not looked at. */
static const char *const OTHERS[] = {
    "PortMapping", "QOS", "L2Driver", "L4Proxy", "L4WFPPROXY", "PortName", "EncapOverhead",
    "InterfaceConstraint", "ProviderAddress", "Iov", "TierAcl",
};

static const struct { const char *name, *values[4]; } WORDS[] = {
    { "Action", { "Allow", "Block", "Pass" } }, { "Direction", { "In", "Out" } }, { "RuleType", { "Host", "Switch" } },
};

static bool is_prefix(const struct json *value)
{
    uint32_t address;
    int length;
    return value->type == JSON_STRING && parse_prefix(value->text, &address, &length);
}

static bool is_type(const struct json *value, enum type type)
{
    uint32_t address;
    switch (type) {
    case TEXT: return value->type == JSON_STRING && *value->text;
    case PREFIX: return is_prefix(value);
    case ADDRESS: return value->type == JSON_STRING && parse_ipv4(value->text, &address);
    case FLAG: return value->type == JSON_BOOL;
    case NUMBER16: case NUMBER32:
        return value->type == JSON_NUMBER && value->integral && value->number >= 0 &&
               value->number <= (type == NUMBER16 ? 0xFFFF : 0xFFFFFFFF);
    default: break;
    }
    if (value->type != JSON_ARRAY) return false;
    for (const struct json *one = value->first; one; one = one->next)
        if (type == PREFIXES ? !is_prefix(one) : one->type != JSON_STRING) return false;
    return true;
}

static bool is_word(const char *name, const struct json *value)
{
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        if (strcmp(WORDS[i].name, name)) continue;
        for (const char *const *word = WORDS[i].values; *word; word++)
            if (!strcmp(*word, value->text)) return true;
        return false;
    }
    return true;
}

static bool check_setting(const char *type, const struct json *value, struct refusal *no)
{
    for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS; i++) {
        const struct setting *setting = &SETTINGS[i];
        if (strcmp(setting->policy, type) || strcmp(setting->name, value->key)) continue;
        if (is_type(value, setting->type) && is_word(setting->name, value)) return true;
        return refuse(no, HCN_E_INVALID_POLICY, "%s: %s has a bad value", type, value->key);
    }
    return refuse(no, HCN_E_INVALID_POLICY, "%s has no setting %s", type, value->key);
}

static bool check_adapter(const struct json *settings, struct refusal *no)
{
    const char *name = json_text(settings, "NetworkAdapterName", "");
    if (!adapters && !strcmp(name, "Ethernet")) return true;
    for (const struct json *one = adapters ? adapters->first : NULL; one; one = one->next)
        if (one->type == JSON_STRING && !strcmp(one->text, name)) return true;
    return refuse(no, HCN_E_ADAPTER_NOT_FOUND, "no network adapter %s", name);
}

static bool check_policy(const struct json *policy, struct refusal *no)
{
    const char *type = json_text(policy, "Type", "");
    const struct json *settings = json_get(policy, "Settings");
    bool known = false;
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) if (!strcmp(OTHERS[i], type)) return true;
    for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS; i++) {
        if (strcmp(SETTINGS[i].policy, type)) continue;
        known = true;
        if (SETTINGS[i].required && !json_get(settings, SETTINGS[i].name))
            return refuse(no, HCN_E_INVALID_POLICY, "%s needs %s", type, SETTINGS[i].name);
    }
    if (!known) return refuse(no, HCN_E_INVALID_POLICY_TYPE, "no policy type %s", type);
    for (const struct json *one = settings->first; one; one = one->next)
        if (!check_setting(type, one, no)) return false;
    return strcmp(type, "NetAdapterName") || check_adapter(settings, no);
}

bool check_policies(const struct json *policies, const char *where, struct refusal *no)
{
    for (const struct json *one = policies ? policies->first : NULL; one; one = one->next) {
        bool adapter = !strcmp(json_text(one, "Type", ""), "NetAdapterName");
        if (adapter != !strcmp(where, "network"))
            return refuse(no, HCN_E_INVALID_POLICY, "no policy %s for an %s", json_text(one, "Type", ""), where);
        if (!check_policy(one, no)) return false;
    }
    return true;
}
