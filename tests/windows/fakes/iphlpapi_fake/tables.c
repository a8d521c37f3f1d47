/* Tables that are handed out, and freed by their owner; see iphlpapi_fake.h. */
#include <stddef.h>
#include <stdlib.h>
#include "iphlpapi_fake.h"

_Static_assert(offsetof(MIB_UNICASTIPADDRESS_TABLE, Table) == 8, "MIB_UNICASTIPADDRESS_TABLE");
_Static_assert(offsetof(MIB_IPFORWARD_TABLE2, Table) == 8, "MIB_IPFORWARD_TABLE2");

/* Kept after they were freed, so that a second time is seen. */
struct table {
    void *data;
    bool freed;
    struct table *next;
};
static struct table *tables;
static int tables_given, tables_freed;

void *new_table(size_t size)
{
    struct table *table = calloc(1, sizeof *table);
    void *data = calloc(1, size);
    if (!table || !data) abort();
    *table = (struct table){ .data = data, .next = tables };
    tables = table;
    tables_given++;
    return data;
}

EXPORT void WINAPI FreeMibTable(void *data)
{
    fake_start();
    fake_lock();
    struct table *table = tables;
    while (table && table->data != data) table = table->next;
    if (!table || table->freed) violation("FreeMibTable: %s", table ? "freed twice" : "no table");
    else {
        table->freed = true;
        tables_freed++;
    }
    fake_unlock();
}

void write_table_counters(struct text *out)
{
    text_member_integer(out, "tablesKept", tables_given - tables_freed);
}

/* Tables stay known, as freed. */
void forget_tables(void)
{
    for (struct table *one = tables; one; one = one->next) one->freed = true;
    tables_given = tables_freed = 0;
}
