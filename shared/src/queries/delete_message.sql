-- Deletes a message. The others keep their positions. What follows it follows the message before it. Returns no row where the owner has no such message. `outcome` is precondition where
-- the version is none of `if_match`, and reused where another request had this operation. It is repeated where the request was done
-- before. Then the version is what it was behind it.
create function delete_message(
    conversation uuid, owner text, message uuid, operation uuid, request integer, if_match bigint[], retention integer
)
returns table (outcome text, version bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    deleted bigint;
    has_kept boolean;
    is_kept boolean;
    done record;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.kept_count > 0 into version, has_kept
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
        return next;
        return;
    end if;
    select m.position into deleted from public.messages m where m.conversation_id = conversation and m.id = message;
    is_kept := not found;
    if is_kept then
        if has_kept then
            select k.position into deleted from kept_among(conversation, array[message]) k;
        end if;
        if deleted is null then
            return;
        end if;
    end if;

    if not (if_match is null or version = any (if_match)) then
        outcome := 'precondition';
    else
        if is_kept then
            perform delete_kept(conversation, message, version + 1);
        else
            delete from public.messages m where m.conversation_id = conversation and m.position = deleted;
        end if;
        update public.conversations c
        set message_count = c.message_count - case when is_kept then 0 else 1 end,
            version = c.version + 1,
            updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
        where c.id = conversation
        returning c.version into version;
        if not is_kept then
            perform change_messages(conversation, deleted, false, version);
            if has_kept then
                perform move_versions(
                    conversation, deleted,
                    coalesce((
                        select m.position from public.messages m
                        where m.conversation_id = conversation and m.position < deleted
                        order by m.position desc limit 1
                    ), 0)
                );
            end if;
        end if;
        perform remember(conversation, operation, request, version, null);
    end if;
    return next;
end
$$;
