#!/usr/bin/env bash
# Makes what ray_cluster.yaml names, in the account that the AWS command line is signed in to, and writes the ids into the file: a bucket, two private
# subnets behind a NAT gateway, a security group that lets in its own members alone, and a role each for head and workers. Takes minutes, once.
# The NAT gateway and its address cost by the hour until aws/remove.sh; the rest costs nothing while nothing runs.
#
#   aws/setup.sh BUCKET REGION
set -euo pipefail
bucket=${1:?the name of a bucket, of yours or new}
region=${2:?a region, as us-west-2}
cd "$(dirname "$0")/.."
export AWS_DEFAULT_REGION=$region AWS_PAGER=
tag() { echo "ResourceType=$1,Tags=[{Key=Name,Value=peoria}]"; }
ec2() { aws ec2 "$@" --output text; }

if [ "$(ec2 describe-vpcs --filters Name=tag:Name,Values=peoria --query 'length(Vpcs)')" != 0 ]; then
  echo "a network named peoria is there already; aws/remove.sh removes it" >&2
  exit 2
fi
grep -q SECURITY_GROUP] ray_cluster.yaml || { echo "ray_cluster.yaml is edited already; the one of the checkout is needed" >&2; exit 2; }

aws s3api head-bucket --bucket "$bucket" 2> /dev/null || aws s3 mb "s3://$bucket" --region "$region"
aws s3api put-public-access-block --bucket "$bucket" \
  --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true

vpc=$(ec2 create-vpc --cidr-block 10.20.0.0/16 --tag-specifications "$(tag vpc)" --query Vpc.VpcId)
read -r zone_a zone_b <<< "$(ec2 describe-availability-zones --filters Name=state,Values=available --query 'AvailabilityZones[:2].ZoneName')"
subnet() {
  ec2 create-subnet --vpc-id "$vpc" --cidr-block "$1" --availability-zone "$2" --tag-specifications "$(tag subnet)" --query Subnet.SubnetId
}
public=$(subnet 10.20.0.0/24 "$zone_a")
private_a=$(subnet 10.20.16.0/20 "$zone_a")
private_b=$(subnet 10.20.32.0/20 "$zone_b")

gateway=$(ec2 create-internet-gateway --tag-specifications "$(tag internet-gateway)" --query InternetGateway.InternetGatewayId)
ec2 attach-internet-gateway --internet-gateway-id "$gateway" --vpc-id "$vpc"
address=$(ec2 allocate-address --domain vpc --tag-specifications "$(tag elastic-ip)" --query AllocationId)
nat=$(ec2 create-nat-gateway --subnet-id "$public" --allocation-id "$address" --tag-specifications "$(tag natgateway)" \
  --query NatGateway.NatGatewayId)
aws ec2 wait nat-gateway-available --nat-gateway-ids "$nat"

outside=$(ec2 create-route-table --vpc-id "$vpc" --tag-specifications "$(tag route-table)" --query RouteTable.RouteTableId)
ec2 create-route --route-table-id "$outside" --destination-cidr-block 0.0.0.0/0 --gateway-id "$gateway" > /dev/null
ec2 associate-route-table --route-table-id "$outside" --subnet-id "$public" > /dev/null
inside=$(ec2 describe-route-tables --filters "Name=vpc-id,Values=$vpc" Name=association.main,Values=true --query 'RouteTables[0].RouteTableId')
ec2 create-route --route-table-id "$inside" --destination-cidr-block 0.0.0.0/0 --nat-gateway-id "$nat" > /dev/null
# what goes to the bucket goes past the NAT gateway, which charges by the GB
ec2 create-vpc-endpoint --vpc-id "$vpc" --vpc-endpoint-type Gateway --service-name "com.amazonaws.$region.s3" --route-table-ids "$inside" \
  --tag-specifications "$(tag vpc-endpoint)" > /dev/null

group=$(ec2 create-security-group --group-name peoria --description "peoria's nodes, for each other" --vpc-id "$vpc" \
  --tag-specifications "$(tag security-group)" --query GroupId)
ec2 authorize-security-group-ingress --group-id "$group" --ip-permissions "IpProtocol=-1,UserIdGroupPairs=[{GroupId=$group}]" > /dev/null

for role in head worker; do
  aws iam create-role --role-name "peoria-$role" --assume-role-policy-document file://aws/trust.json > /dev/null
  aws iam put-role-policy --role-name "peoria-$role" --policy-name peoria --policy-document "$(sed "s/BUCKET/$bucket/g" "aws/$role.json")"
  aws iam create-instance-profile --instance-profile-name "peoria-$role" > /dev/null
  aws iam add-role-to-instance-profile --instance-profile-name "peoria-$role" --role-name "peoria-$role"
done

sed -i.example -e "s/SUBNET_A, SUBNET_B]/$private_a, $private_b]/" -e "s/SECURITY_GROUP]/$group]/" -e "s/us-west-2/$region/" \
  -e "s#BUCKET/#$bucket/#g" ray_cluster.yaml
echo "ray_cluster.yaml has the ids; ray_cluster.yaml.example is as it was. Next: peoria cluster check ray_cluster.yaml"
