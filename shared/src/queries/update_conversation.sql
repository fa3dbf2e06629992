-- Changes what is said about a conversation. Values that are there already change nothing. An `archive`, a `pin` or an end that is null
-- keeps what there is, as the flags `keep_…` do.
--
-- Returns no row where the owner has no such conversation. `outcome` is precondition where the version is none of `if_match`, and reused
-- where another request had this operation. It is repeated where the request was done before. Then the version is what it was behind it.
create function update_conversation(
    conversation uuid, owner text, operation uuid, request integer, if_match bigint[], keep_title boolean, new_title text,
    keep_metadata boolean, patch text, archive boolean, pin boolean, keep_end boolean, expires_in bigint, retention integer
)
returns setof conversation_row
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    version bigint;
    outcome text;
    changed_at timestamptz;
    changed_in bigint;
    done record;
    answer conversation_row;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.updated_at into version, changed_at
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention)
    for update;
    if not found then
        return;
    end if;

    select r.outcome, r.version into done from recall(conversation, operation, request) r;
    if done.outcome is not null then
        outcome := done.outcome;
        version := case when outcome = 'repeated' then done.version else version end;
    elsif not (if_match is null or version = any (if_match)) then
        outcome := 'precondition';
    else
        changed_at := greatest(clock_timestamp(), changed_at + interval '1 microsecond');
        update public.conversations c
        set title = n.title, metadata = n.metadata::json, archived_at = n.archived_at, pinned_at = n.pinned_at,
            expires_at = n.expires_at, version = c.version + 1, updated_at = changed_at
        from (
            select
                case when keep_title then o.title else new_title end as title,
                case
                    when keep_metadata then o.metadata::text
                    when patch is null then '{}'
                    else merge_patch(o.metadata, patch::json)::text
                end as metadata,
                -- What is archived or pinned already stays so since then.
                case when archive is null then o.archived_at when archive then coalesce(o.archived_at, changed_at) end as archived_at,
                case when pin is null then o.pinned_at when pin then coalesce(o.pinned_at, changed_at) end as pinned_at,
                case when keep_end then o.expires_at else changed_at + make_interval(secs => expires_in) end as expires_at
            from public.conversations o
            where o.id = conversation
        ) n
        where c.id = conversation
            and (
                (n.title, n.archived_at, n.pinned_at, n.expires_at)
                    is distinct from (c.title, c.archived_at, c.pinned_at, c.expires_at)
                or not same_json(n.metadata, c.metadata::text)
            )
        returning c.version into changed_in;
        version := coalesce(changed_in, version);
        perform remember(conversation, operation, request, version, null);
    end if;
    select shown.* into answer from public.conversations c, conversation_row(c, outcome) shown where c.id = conversation;
    answer.version := version;
    return next answer;
end
$$;
