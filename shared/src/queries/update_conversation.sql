-- Returns no row where the owner has no such conversation. `allowed` is false where the version is none of `if_match`.
create function update_conversation(
    conversation uuid, owner text, operation uuid, if_match bigint[], keep_title boolean, new_title text, keep_metadata boolean,
    patch text
)
returns table (
    allowed boolean, id uuid, user_id text, title text, metadata text, message_count bigint, created_at timestamptz,
    updated_at timestamptz, version bigint, summary_through bigint, summary_created_at timestamptz
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done boolean;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.last_operation is not distinct from operation into version, done
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
    for update;
    if not found then
        return;
    end if;

    allowed := done or if_match is null or version = any (if_match);
    if allowed and not done and not (keep_title and keep_metadata) then
        update public.conversations c
        set title = case when keep_title then c.title else new_title end,
            metadata = case
                when keep_metadata then c.metadata
                when patch is null then '{}'
                else merge_patch(c.metadata, patch::json)
            end,
            version = c.version + 1,
            updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond'),
            last_operation = operation
        where c.id = conversation;
    end if;
    return query
    select allowed, c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version,
        c.summary_through, c.summary_created_at
    from public.conversations c
    where c.id = conversation;
end
$$;
