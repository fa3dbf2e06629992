-- Returns no row where the owner has no such conversation. `outcome` is precondition where the version is none of `if_match`, and reused
-- where another request had this operation. It is repeated where this request has deleted the conversation before.
create function delete_conversation(
    conversation uuid, owner text, operation uuid, request integer, if_match bigint[], retention integer
)
returns table (outcome text, version bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `deletions` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    is_there boolean;
    deletion uuid := deletion_id(conversation, owner, operation, request);
begin
    -- Writers to a conversation take turns from here on.
    select c.version into version
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention)
    for update;
    is_there := found;

    -- A conversation that was made with the same id since is another one.
    if exists (select from public.deletions d where d.id = deletion) then
        outcome := 'repeated';
        return next;
        return;
    elsif not is_there then
        return;
    end if;
    select r.outcome into outcome from recall(conversation, operation, request) r;
    if outcome is not null then
        null;
    elsif not (if_match is null or version = any (if_match)) then
        outcome := 'precondition';
    else
        -- A trigger deletes the messages.
        delete from public.conversations c where c.id = conversation;
        insert into public.deletions (id) values (deletion);
    end if;
    return next;
end
$$;
