#!/usr/bin/env bash
# Removes what aws/setup.sh made, but for the bucket, which holds the results. The cluster's machines, the stopped head among them, are ended first.
#
#   aws/remove.sh REGION
set -euo pipefail
export AWS_DEFAULT_REGION=${1:?the region} AWS_PAGER=
ec2() { aws ec2 "$@" --output text; }
named=Name=tag:Name,Values=peoria

nodes=$(ec2 describe-instances --filters Name=tag:ray-cluster-name,Values=peoria Name=instance-state-name,Values=pending,running,stopping,stopped \
  --query 'Reservations[].Instances[].InstanceId')
if [ -n "$nodes" ]; then
  # shellcheck disable=SC2086  # ids, parted by blanks
  ec2 terminate-instances --instance-ids $nodes > /dev/null && aws ec2 wait instance-terminated --instance-ids $nodes
fi
for role in head worker; do
  if aws iam get-role --role-name "peoria-$role" > /dev/null 2>&1; then
    aws iam remove-role-from-instance-profile --instance-profile-name "peoria-$role" --role-name "peoria-$role" 2> /dev/null || true # of a setup that stopped half-way
    aws iam delete-instance-profile --instance-profile-name "peoria-$role" 2> /dev/null || true
    aws iam delete-role-policy --role-name "peoria-$role" --policy-name peoria 2> /dev/null || true
    aws iam delete-role --role-name "peoria-$role"
  fi
done
for nat in $(ec2 describe-nat-gateways --filter $named Name=state,Values=pending,available --query 'NatGateways[].NatGatewayId'); do
  ec2 delete-nat-gateway --nat-gateway-id "$nat" > /dev/null && aws ec2 wait nat-gateway-deleted --nat-gateway-ids "$nat"
done
for address in $(ec2 describe-addresses --filters $named --query 'Addresses[].AllocationId'); do ec2 release-address --allocation-id "$address"; done
for vpc in $(ec2 describe-vpcs --filters $named --query 'Vpcs[].VpcId'); do
  in_it=Name=vpc-id,Values=$vpc
  for id in $(ec2 describe-vpc-endpoints --filters "$in_it" --query 'VpcEndpoints[].VpcEndpointId'); do
    ec2 delete-vpc-endpoints --vpc-endpoint-ids "$id" > /dev/null
  done
  for id in $(ec2 describe-security-groups --filters "$in_it" $named --query 'SecurityGroups[].GroupId'); do
    ec2 delete-security-group --group-id "$id" > /dev/null
  done
  for id in $(ec2 describe-route-tables --filters "$in_it" $named --query 'RouteTables[].Associations[].RouteTableAssociationId'); do
    ec2 disassociate-route-table --association-id "$id"
  done
  for id in $(ec2 describe-subnets --filters "$in_it" --query 'Subnets[].SubnetId'); do ec2 delete-subnet --subnet-id "$id"; done
  for id in $(ec2 describe-internet-gateways --filters "Name=attachment.vpc-id,Values=$vpc" --query 'InternetGateways[].InternetGatewayId'); do
    ec2 detach-internet-gateway --internet-gateway-id "$id" --vpc-id "$vpc" && ec2 delete-internet-gateway --internet-gateway-id "$id"
  done
  for id in $(ec2 describe-route-tables --filters "$in_it" $named --query 'RouteTables[].RouteTableId'); do
    ec2 delete-route-table --route-table-id "$id"
  done
  ec2 delete-vpc --vpc-id "$vpc"
done
echo "removed; the bucket stays: aws s3 rb --force s3://NAME removes it with all that is in it"
