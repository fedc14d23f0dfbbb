//! The relations of pg_catalog that describe what this database does not have: they are there, and empty.

use super::{CatalogTable, no_rows};

/// All of them.
pub static TABLES: &[&CatalogTable] = &[
    &PG_AGGREGATE,
    &PG_AMOP,
    &PG_AMPROC,
    &PG_CAST,
    &PG_CONVERSION,
    &PG_CURSORS,
    &PG_DB_ROLE_SETTING,
    &PG_DEFAULT_ACL,
    &PG_ENUM,
    &PG_EVENT_TRIGGER,
    &PG_AVAILABLE_EXTENSIONS,
    &PG_GROUP,
    &PG_INHERITS,
    &PG_LARGEOBJECT_METADATA,
    &PG_LOCKS,
    &PG_OPCLASS,
    &PG_OPERATOR,
    &PG_OPFAMILY,
    &PG_PARAMETER_ACL,
    &PG_PARTITIONED_TABLE,
    &PG_POLICIES,
    &PG_POLICY,
    &PG_PREPARED_STATEMENTS,
    &PG_PREPARED_XACTS,
    &PG_PUBLICATION,
    &PG_PUBLICATION_NAMESPACE,
    &PG_PUBLICATION_REL,
    &PG_PUBLICATION_TABLES,
    &PG_RANGE,
    &PG_REPLICATION_SLOTS,
    &PG_RULES,
    &PG_SECLABEL,
    &PG_SECLABELS,
    &PG_SEQUENCE,
    &PG_SEQUENCES,
    &PG_SHDEPEND,
    &PG_STAT_REPLICATION,
    &PG_STATISTIC,
    &PG_STATISTIC_EXT,
    &PG_STATISTIC_EXT_DATA,
    &PG_STATS,
    &PG_SUBSCRIPTION,
    &PG_TRANSFORM,
    &PG_TRIGGER,
    &PG_TS_CONFIG,
    &PG_TS_CONFIG_MAP,
    &PG_TS_DICT,
    &PG_TS_PARSER,
    &PG_TS_TEMPLATE,
    &PG_USER_MAPPING,
    &PG_USER_MAPPINGS,
    &PG_AUTH_MEMBERS,
    &PG_SHDESCRIPTION,
];

static PG_AGGREGATE: CatalogTable = CatalogTable::table(
    2600,
    "pg_aggregate",
    "aggfnoid regproc, aggkind char, aggnumdirectargs int2, aggtransfn regproc, aggfinalfn regproc, \
     aggcombinefn regproc, aggserialfn regproc, aggdeserialfn regproc, aggmtransfn regproc, \
     aggminvtransfn regproc, aggmfinalfn regproc, aggfinalextra bool, aggmfinalextra bool, \
     aggfinalmodify char, aggmfinalmodify char, aggsortop oid, aggtranstype oid, aggtransspace int4, \
     aggmtranstype oid, aggmtransspace int4, agginitval text?, aggminitval text?",
    no_rows,
);

static PG_AMOP: CatalogTable = CatalogTable::table(
    2602,
    "pg_amop",
    "oid oid, amopfamily oid, amoplefttype oid, amoprighttype oid, amopstrategy int2, amoppurpose char, \
     amopopr oid, amopmethod oid, amopsortfamily oid",
    no_rows,
);

static PG_AMPROC: CatalogTable = CatalogTable::table(
    2603,
    "pg_amproc",
    "oid oid, amprocfamily oid, amproclefttype oid, amprocrighttype oid, amprocnum int2, amproc regproc",
    no_rows,
);

static PG_CAST: CatalogTable = CatalogTable::table(
    2605,
    "pg_cast",
    "oid oid, castsource oid, casttarget oid, castfunc oid, castcontext char, castmethod char",
    no_rows,
);

static PG_CONVERSION: CatalogTable = CatalogTable::table(
    2607,
    "pg_conversion",
    "oid oid, conname name, connamespace oid, conowner oid, conforencoding int4, contoencoding int4, \
     conproc regproc, condefault bool",
    no_rows,
);

static PG_CURSORS: CatalogTable = CatalogTable::view(
    12077,
    "pg_cursors",
    "name text?, statement text?, is_holdable bool?, is_binary bool?, is_scrollable bool?, \
     creation_time timestamptz?",
    no_rows,
);

static PG_DB_ROLE_SETTING: CatalogTable =
    CatalogTable::table(2964, "pg_db_role_setting", "setdatabase oid, setrole oid, setconfig _text?", no_rows);

static PG_DEFAULT_ACL: CatalogTable = CatalogTable::table(
    826,
    "pg_default_acl",
    "oid oid, defaclrole oid, defaclnamespace oid, defaclobjtype char, defaclacl _aclitem",
    no_rows,
);

static PG_ENUM: CatalogTable =
    CatalogTable::table(3501, "pg_enum", "oid oid, enumtypid oid, enumsortorder float4, enumlabel name", no_rows);

static PG_EVENT_TRIGGER: CatalogTable = CatalogTable::table(
    3466,
    "pg_event_trigger",
    "oid oid, evtname name, evtevent name, evtowner oid, evtfoid oid, evtenabled char, evttags _text?",
    no_rows,
);

static PG_AVAILABLE_EXTENSIONS: CatalogTable = CatalogTable::view(
    12081,
    "pg_available_extensions",
    "name name?, default_version text?, installed_version text?, comment text?",
    no_rows,
);

static PG_GROUP: CatalogTable =
    CatalogTable::view(12010, "pg_group", "groname name?, grosysid oid?, grolist _oid?", no_rows);

static PG_INHERITS: CatalogTable = CatalogTable::table(
    2611,
    "pg_inherits",
    "inhrelid oid, inhparent oid, inhseqno int4, inhdetachpending bool",
    no_rows,
);

static PG_LARGEOBJECT_METADATA: CatalogTable =
    CatalogTable::table(2995, "pg_largeobject_metadata", "oid oid, lomowner oid, lomacl _aclitem?", no_rows);

static PG_LOCKS: CatalogTable = CatalogTable::view(
    12073,
    "pg_locks",
    "locktype text?, database oid?, relation oid?, page int4?, tuple int2?, virtualxid text?, \
     transactionid xid?, classid oid?, objid oid?, objsubid int2?, virtualtransaction text?, pid int4?, \
     mode text?, granted bool?, fastpath bool?, waitstart timestamptz?",
    no_rows,
);

static PG_OPCLASS: CatalogTable = CatalogTable::table(
    2616,
    "pg_opclass",
    "oid oid, opcmethod oid, opcname name, opcnamespace oid, opcowner oid, opcfamily oid, opcintype oid, \
     opcdefault bool, opckeytype oid",
    no_rows,
);

static PG_OPERATOR: CatalogTable = CatalogTable::table(
    2617,
    "pg_operator",
    "oid oid, oprname name, oprnamespace oid, oprowner oid, oprkind char, oprcanmerge bool, oprcanhash bool, \
     oprleft oid, oprright oid, oprresult oid, oprcom oid, oprnegate oid, oprcode regproc, oprrest regproc, \
     oprjoin regproc",
    no_rows,
);

static PG_OPFAMILY: CatalogTable = CatalogTable::table(
    2753,
    "pg_opfamily",
    "oid oid, opfmethod oid, opfname name, opfnamespace oid, opfowner oid",
    no_rows,
);

static PG_PARAMETER_ACL: CatalogTable =
    CatalogTable::table(6243, "pg_parameter_acl", "oid oid, parname text, paracl _aclitem?", no_rows);

static PG_PARTITIONED_TABLE: CatalogTable = CatalogTable::table(
    3350,
    "pg_partitioned_table",
    "partrelid oid, partstrat char, partnatts int2, partdefid oid, partattrs int2vector, partclass oidvector, \
     partcollation oidvector, partexprs pg_node_tree?",
    no_rows,
);

static PG_POLICIES: CatalogTable = CatalogTable::view(
    12018,
    "pg_policies",
    "schemaname name?, tablename name?, policyname name?, permissive text?, roles _name?, cmd text?, \
     qual text?, with_check text?",
    no_rows,
);

static PG_POLICY: CatalogTable = CatalogTable::table(
    3256,
    "pg_policy",
    "oid oid, polname name, polrelid oid, polcmd char, polpermissive bool, polroles _oid, \
     polqual pg_node_tree?, polwithcheck pg_node_tree?",
    no_rows,
);

static PG_PREPARED_STATEMENTS: CatalogTable = CatalogTable::view(
    12095,
    "pg_prepared_statements",
    "name text?, statement text?, prepare_time timestamptz?, parameter_types _oid?, from_sql bool?, \
     generic_plans int8?, custom_plans int8?",
    no_rows,
);

static PG_PREPARED_XACTS: CatalogTable = CatalogTable::view(
    12090,
    "pg_prepared_xacts",
    "transaction xid?, gid text?, prepared timestamptz?, owner name?, database name?",
    no_rows,
);

static PG_PUBLICATION: CatalogTable = CatalogTable::table(
    6104,
    "pg_publication",
    "oid oid, pubname name, pubowner oid, puballtables bool, pubinsert bool, pubupdate bool, pubdelete bool, \
     pubtruncate bool, pubviaroot bool",
    no_rows,
);

static PG_PUBLICATION_NAMESPACE: CatalogTable =
    CatalogTable::table(6237, "pg_publication_namespace", "oid oid, pnpubid oid, pnnspid oid", no_rows);

static PG_PUBLICATION_REL: CatalogTable = CatalogTable::table(
    6106,
    "pg_publication_rel",
    "oid oid, prpubid oid, prrelid oid, prqual pg_node_tree?, prattrs int2vector?",
    no_rows,
);

static PG_PUBLICATION_TABLES: CatalogTable = CatalogTable::view(
    12068,
    "pg_publication_tables",
    "pubname name?, schemaname name?, tablename name?, attnames _name?, rowfilter text?",
    no_rows,
);

static PG_RANGE: CatalogTable = CatalogTable::table(
    3541,
    "pg_range",
    "rngtypid oid, rngsubtype oid, rngmultitypid oid, rngcollation oid, rngsubopc oid, rngcanonical regproc, \
     rngsubdiff regproc",
    no_rows,
);

static PG_REPLICATION_SLOTS: CatalogTable = CatalogTable::view(
    12257,
    "pg_replication_slots",
    "slot_name name?, plugin name?, slot_type text?, datoid oid?, database name?, temporary bool?, \
     active bool?, active_pid int4?, xmin xid?, catalog_xmin xid?, restart_lsn text?, \
     confirmed_flush_lsn text?, wal_status text?, safe_wal_size int8?, two_phase bool?",
    no_rows,
);

static PG_RULES: CatalogTable = CatalogTable::view(
    12023,
    "pg_rules",
    "schemaname name?, tablename name?, rulename name?, definition text?",
    no_rows,
);

static PG_SECLABEL: CatalogTable = CatalogTable::table(
    3596,
    "pg_seclabel",
    "objoid oid, classoid oid, objsubid int4, provider text, label text",
    no_rows,
);

static PG_SECLABELS: CatalogTable = CatalogTable::view(
    12099,
    "pg_seclabels",
    "objoid oid?, classoid oid?, objsubid int4?, objtype text?, objnamespace oid?, objname text?, \
     provider text?, label text?",
    no_rows,
);

static PG_SEQUENCE: CatalogTable = CatalogTable::table(
    2224,
    "pg_sequence",
    "seqrelid oid, seqtypid oid, seqstart int8, seqincrement int8, seqmax int8, seqmin int8, seqcache int8, \
     seqcycle bool",
    no_rows,
);

static PG_SEQUENCES: CatalogTable = CatalogTable::view(
    12048,
    "pg_sequences",
    "schemaname name?, sequencename name?, sequenceowner name?, data_type regtype?, start_value int8?, \
     min_value int8?, max_value int8?, increment_by int8?, cycle bool?, cache_size int8?, last_value int8?",
    no_rows,
);

static PG_SHDEPEND: CatalogTable = CatalogTable::table(
    1214,
    "pg_shdepend",
    "dbid oid, classid oid, objid oid, objsubid int4, refclassid oid, refobjid oid, deptype char",
    no_rows,
);

static PG_STAT_REPLICATION: CatalogTable = CatalogTable::view(
    12227,
    "pg_stat_replication",
    "pid int4?, usesysid oid?, usename name?, application_name text?, client_addr text?, \
     client_hostname text?, client_port int4?, backend_start timestamptz?, backend_xmin xid?, state text?, \
     sent_lsn text?, write_lsn text?, flush_lsn text?, replay_lsn text?, write_lag interval?, \
     flush_lag interval?, replay_lag interval?, sync_priority int4?, sync_state text?, \
     reply_time timestamptz?",
    no_rows,
);

static PG_STATISTIC: CatalogTable = CatalogTable::table(
    2619,
    "pg_statistic",
    "starelid oid, staattnum int2, stainherit bool, stanullfrac float4, stawidth int4, stadistinct float4, \
     stakind1 int2, stakind2 int2, stakind3 int2, stakind4 int2, stakind5 int2, staop1 oid, staop2 oid, \
     staop3 oid, staop4 oid, staop5 oid, stacoll1 oid, stacoll2 oid, stacoll3 oid, stacoll4 oid, \
     stacoll5 oid, stanumbers1 _float4?, stanumbers2 _float4?, stanumbers3 _float4?, stanumbers4 _float4?, \
     stanumbers5 _float4?, stavalues1 text?, stavalues2 text?, stavalues3 text?, stavalues4 text?, \
     stavalues5 text?",
    no_rows,
);

static PG_STATISTIC_EXT: CatalogTable = CatalogTable::table(
    3381,
    "pg_statistic_ext",
    "oid oid, stxrelid oid, stxname name, stxnamespace oid, stxowner oid, stxstattarget int4, \
     stxkeys int2vector, stxkind _char, stxexprs pg_node_tree?",
    no_rows,
);

static PG_STATISTIC_EXT_DATA: CatalogTable = CatalogTable::table(
    3429,
    "pg_statistic_ext_data",
    "stxoid oid, stxdinherit bool, stxdndistinct text?, stxddependencies text?, stxdmcv text?, \
     stxdexpr _text?",
    no_rows,
);

static PG_STATS: CatalogTable = CatalogTable::view(
    12053,
    "pg_stats",
    "schemaname name?, tablename name?, attname name?, inherited bool?, null_frac float4?, avg_width int4?, \
     n_distinct float4?, most_common_vals text?, most_common_freqs _float4?, histogram_bounds text?, \
     correlation float4?, most_common_elems text?, most_common_elem_freqs _float4?, \
     elem_count_histogram _float4?",
    no_rows,
);

static PG_SUBSCRIPTION: CatalogTable = CatalogTable::table(
    6100,
    "pg_subscription",
    "oid oid, subdbid oid, subskiplsn text, subname name, subowner oid, subenabled bool, subbinary bool, \
     substream bool, subtwophasestate char, subdisableonerr bool, subconninfo text, subslotname name?, \
     subsynccommit text, subpublications _text",
    no_rows,
);

static PG_TRANSFORM: CatalogTable = CatalogTable::table(
    3576,
    "pg_transform",
    "oid oid, trftype oid, trflang oid, trffromsql regproc, trftosql regproc",
    no_rows,
);

static PG_TRIGGER: CatalogTable = CatalogTable::table(
    2620,
    "pg_trigger",
    "oid oid, tgrelid oid, tgparentid oid, tgname name, tgfoid oid, tgtype int2, tgenabled char, \
     tgisinternal bool, tgconstrrelid oid, tgconstrindid oid, tgconstraint oid, tgdeferrable bool, \
     tginitdeferred bool, tgnargs int2, tgattr int2vector, tgargs bytea, tgqual pg_node_tree?, \
     tgoldtable name?, tgnewtable name?",
    no_rows,
);

static PG_TS_CONFIG: CatalogTable = CatalogTable::table(
    3602,
    "pg_ts_config",
    "oid oid, cfgname name, cfgnamespace oid, cfgowner oid, cfgparser oid",
    no_rows,
);

static PG_TS_CONFIG_MAP: CatalogTable =
    CatalogTable::table(3603, "pg_ts_config_map", "mapcfg oid, maptokentype int4, mapseqno int4, mapdict oid", no_rows);

static PG_TS_DICT: CatalogTable = CatalogTable::table(
    3600,
    "pg_ts_dict",
    "oid oid, dictname name, dictnamespace oid, dictowner oid, dicttemplate oid, dictinitoption text?",
    no_rows,
);

static PG_TS_PARSER: CatalogTable = CatalogTable::table(
    3601,
    "pg_ts_parser",
    "oid oid, prsname name, prsnamespace oid, prsstart regproc, prstoken regproc, prsend regproc, \
     prsheadline regproc, prslextype regproc",
    no_rows,
);

static PG_TS_TEMPLATE: CatalogTable = CatalogTable::table(
    3764,
    "pg_ts_template",
    "oid oid, tmplname name, tmplnamespace oid, tmplinit regproc, tmpllexize regproc",
    no_rows,
);

static PG_USER_MAPPING: CatalogTable =
    CatalogTable::table(1418, "pg_user_mapping", "oid oid, umuser oid, umserver oid, umoptions _text?", no_rows);

static PG_USER_MAPPINGS: CatalogTable = CatalogTable::view(
    12327,
    "pg_user_mappings",
    "umid oid?, srvid oid?, srvname name?, umuser oid?, usename name?, umoptions _text?",
    no_rows,
);

static PG_AUTH_MEMBERS: CatalogTable =
    CatalogTable::table(1261, "pg_auth_members", "roleid oid, member oid, grantor oid, admin_option bool", no_rows);

static PG_SHDESCRIPTION: CatalogTable =
    CatalogTable::table(2396, "pg_shdescription", "objoid oid, classoid oid, description text", no_rows);
