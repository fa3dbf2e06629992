-- Returns no row where the owner has no such conversation. `outcome` is precondition where the version is none of `if_match`. An `archive`,
-- a `pin` or an end that is null keeps what there is, as the flags `keep_…` do.
create function update_conversation(
    conversation uuid, owner text, operation uuid, if_match bigint[], keep_title boolean, new_title text, keep_metadata boolean,
    patch text, archive boolean, pin boolean, keep_end boolean, expires_in bigint, retention integer
)
returns setof conversation_row
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    version bigint;
    done boolean;
    outcome text;
    changed_at timestamptz;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.last_operation is not distinct from operation, c.updated_at into version, done, changed_at
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner) and is_kept(c.expires_at, c.updated_at, retention)
    for update;
    if not found then
        return;
    end if;

    if not (done or if_match is null or version = any (if_match)) then
        outcome := 'precondition';
    elsif not done and not (keep_title and keep_metadata and archive is null and pin is null and keep_end) then
        changed_at := greatest(clock_timestamp(), changed_at + interval '1 microsecond');
        update public.conversations c
        set title = case when keep_title then c.title else new_title end,
            metadata = case
                when keep_metadata then c.metadata
                when patch is null then '{}'
                else merge_patch(c.metadata, patch::json)
            end,
            -- What is archived or pinned already stays so since then.
            archived_at = case when archive is null then c.archived_at when archive then coalesce(c.archived_at, changed_at) end,
            pinned_at = case when pin is null then c.pinned_at when pin then coalesce(c.pinned_at, changed_at) end,
            expires_at = case when keep_end then c.expires_at else changed_at + make_interval(secs => expires_in) end,
            version = c.version + 1,
            updated_at = changed_at,
            last_operation = operation
        where c.id = conversation;
    end if;
    return query
    select shown.* from public.conversations c, conversation_row(c, outcome) shown where c.id = conversation;
end
$$;
