-- What became of a request that may have been done before. `outcome` is repeated where the same request was done. Then `version` and `result`
-- are what it was answered with. It is reused where another request had this operation. Otherwise there is no row. The caller has locked
-- the conversation's row.
create function recall(conversation uuid, operation uuid, request integer) returns table (outcome text, version bigint, result bigint)
language sql stable as $$
    select case when c.operation_requests[known.at] = $3 then 'repeated' else 'reused' end, c.operation_versions[known.at],
        c.operation_results[known.at]
    from public.conversations c cross join lateral (select array_position(c.operations, $2) as at) known
    where c.id = $1 and known.at is not null
$$;

-- Remembers that a request was done, with the newest others. A request that changed nothing is remembered, too: sent again later, it could
-- change something. The caller has locked the row.
create function remember(conversation uuid, operation uuid, request integer, done_in bigint, result bigint) returns void
language plpgsql as $$
#variable_conflict use_variable
begin
    update public.conversations c
    set operations = (operation || c.operations)[1:8],
        operation_requests = (request || c.operation_requests)[1:8],
        operation_versions = (done_in || c.operation_versions)[1:8],
        operation_results = (result || c.operation_results)[1:8]
    where c.id = conversation;
end
$$;

-- The id of a request that has deleted a conversation. It does not reveal the conversation, its owner or the key.
create function deletion_id(conversation uuid, owner text, operation uuid, request integer) returns uuid
language sql stable parallel safe as $$
    select encode(
        substr(sha256(uuid_send($1) || uuid_send($3) || int4send($4) || convert_to(coalesce($2, ''), 'UTF8')), 1, 16), 'hex'
    )::uuid
$$;

-- Whether two values of JSON are equal, however they are spelled.
create function same_json(value text, other text) returns boolean
language plpgsql immutable as $$
begin
    if value = other then
        return true;
    end if;
    return value::jsonb = other::jsonb;
exception when numeric_value_out_of_range then
    -- jsonb does not take every number. Its spelling was compared above.
    return false;
end
$$;
